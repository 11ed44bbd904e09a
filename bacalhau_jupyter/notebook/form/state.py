"""What stands in the form: one text per field, and the job behind it that keeps what no field shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.client.jobs.build import docker_engine, job_of
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource

LANGUAGES = ("python", "sh", "bash", "sql")
"""What a form runs besides engines: a body in one of these languages, as ``%%bacalhau`` does."""

DOCKER, PROCESS = "docker", "process"

OPENS_WITH = "python"
"""What an empty form runs: the notebook's own environment runs a body on a node without containers, too."""


def as_text(value: object) -> str:
    """Return what stands in a field as text: half a character, which a browser may send, is a question mark."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class InputRow:
    """One input.

    Attributes
    ----------
    text
        Its short form, as ``-i`` takes it; for an input that has none, what it is.
    source
        The input of the job behind the form; None for a new row.
    shown
        The text that stands for ``source``: as long as the row's text is the same, the source is meant.
    is_kept
        Whether the input has no short form: it stays as it is, or is removed.
    """

    text: str = ""
    source: InputSource | None = None
    shown: str = ""
    is_kept: bool = False

    @property
    def is_untouched(self) -> bool:
        """Whether the row still means the input of the job behind the form."""
        return self.source is not None and self.text == self.shown


@dataclass(frozen=True)
class FormState:
    """The texts of a form's fields.

    A field whose text is the one that was shown for ``base`` means the value of ``base``: so what a field can't show
    is never lost by showing it.

    Attributes
    ----------
    runs
        A language, or the type of an engine.
    code, pip, ins
        For a language: the body; the packages that a Python body needs, and the variables that travel, one a line.
    image, command, entrypoint, workdir
        For an engine: the image reference, and words as a shell writes them.
    inputs
        The inputs, in order.
    outputs, env, labels, domains
        One entry a line: ``name:/path``, ``NAME=VALUE``, ``key=value``, a domain.
    publisher
        Where results go, as ``-p`` takes it; empty: nowhere.
    cpu, memory, disk, gpu, network, constraints
        As the flags of these names take them.
    timeout, queue_timeout, execution_timeout
        Durations.
    name, namespace, kind, count, priority
        The job's own; ``kind`` is its type.
    base
        The job behind the form.
    """

    runs: str = DOCKER
    code: str = ""
    pip: str = ""
    ins: str = ""
    image: str = ""
    command: str = ""
    entrypoint: str = ""
    workdir: str = ""
    inputs: Sequence[InputRow] = ()
    outputs: str = ""
    publisher: str = ""
    env: str = ""
    labels: str = ""
    cpu: str = ""
    memory: str = ""
    disk: str = ""
    gpu: str = ""
    network: str = ""
    domains: str = ""
    constraints: str = ""
    timeout: str = ""
    queue_timeout: str = ""
    execution_timeout: str = ""
    name: str = ""
    namespace: str = ""
    kind: str = ""
    count: str = ""
    priority: str = ""
    base: Job = field(default_factory=Job)

    @property
    def is_code(self) -> bool:
        """Whether a body in a language runs, not an engine's own command."""
        return self.runs in LANGUAGES

    def changed(self, **texts: object) -> FormState:
        """Return the state with other texts in some fields."""
        return dataclasses.replace(self, **texts)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Problem:
    """Why a form can't be submitted.

    Attributes
    ----------
    field
        Name of the field of `FormState`; empty where no single field is to blame.
    sentence
        What is wrong, in the words of flag and node.
    hint
        What to do; may be empty.
    is_missing
        Whether nothing is wrong yet, for nobody has filled the field.
    """

    field: str
    sentence: str
    hint: str = ""
    is_missing: bool = False


TEXT_FIELDS: Mapping[str, str] = {
    item.name: str(item.default)
    for item in dataclasses.fields(FormState)
    if item.name not in ("inputs", "base")
}
"""Names of the fields that hold one text, with the text of an empty form."""


def blank_job() -> Job:
    """Return the job of an empty form: what a cell without flags makes, but for the program."""
    return job_of(docker_engine(""))

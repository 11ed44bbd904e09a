"""The cell that means the same as a form: flags where they can say all of it, else the spec as YAML."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click
import yaml

from bacalhau_jupyter.client.jobs.build import docker_engine, job_of
from bacalhau_jupyter.grammar import spec_of
from bacalhau_jupyter.grammar.flags.options import job_options
from bacalhau_jupyter.grammar.shown import without_secrets
from bacalhau_jupyter.lib.masking import MASK, masked_value, masked_variables
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.form.checking import PLACEHOLDER, seen_input
from bacalhau_jupyter.notebook.form.showing import task_of
from bacalhau_jupyter.notebook.form.state import DOCKER, FormState

_FLAGS = {
    "publisher": "-p",
    "cpu": "--cpu",
    "memory": "--memory",
    "disk": "--disk",
    "gpu": "--gpu",
    "network": "--network",
    "constraints": "--constraints",
    "timeout": "--timeout",
    "name": "--name",
    "namespace": "--namespace",
    "priority": "--priority",
    "workdir": "-w",
}
"""Fields of one text, and the flag that takes it."""
_LINE_FLAGS = {"env": "-e", "labels": "-l", "domains": "--domain"}
_CODE_FLAGS = {"ins": "--in"}
"""Fields of one entry a line, and the flag that takes each; those of languages apart."""
_SILENT = {("publisher", "local"), ("network", "Default")}
"""What a cell without the flag means."""

_TEXT_LIMIT = 400
"""Characters of a text in a spec that are shown."""
_CODE_LATER = "the code, and what runs it, join the YAML when the job is submitted"
_MASKED = "values of secrets are masked here; Submit sends them"


@dataclass(frozen=True)
class CellText:
    """A cell.

    Attributes
    ----------
    line
        What follows ``%%bacalhau``.
    body
        The text below it.
    notes
        What is to be known about it.
    """

    line: str
    body: str
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        return f"%%bacalhau {self.line}\n{self.body}"


def code_words(state: FormState) -> list[str]:
    """Return the words of a cell that decide what runs a body, and what travels with it."""
    words = [state.runs]
    for name, flag in _code_flags(state).items():
        lines = [line.strip() for line in getattr(state, name).splitlines() if line.strip()]
        words += [word for line in lines for word in (flag, line)]
    for flag, text in {"--image": state.image, "-w": state.workdir, "--gpu": state.gpu}.items():
        words += [flag, text.strip()] if text.strip() else []
    return words


def cell_text(state: FormState, job: Job, *, is_valid: bool = True) -> CellText:
    """Return the cell that means the same as a form.

    Parameters
    ----------
    state
        The form.
    job
        What it means, as `check` returns it.
    is_valid
        Whether all fields can be read; else the flags are shown as they were typed.
    """
    words = _words(state)
    if not is_valid and (state.is_code or state.runs == DOCKER):
        return CellText(shlex.join(words), state.code if state.is_code else "")
    is_same = "\n" not in "".join(words) and is_readable("".join(words)) and _means(words, state, job)
    notes = [_MASKED] if _has_secrets(job) else []
    line = shlex.join(words)
    if state.is_code:
        if not is_same:
            notes.append("flags can't say all of this; Submit does")
        return CellText(line, state.code, notes)
    if is_same:
        return CellText(line, "", notes)
    text = yaml_text(job)
    return CellText("job", text.text, [*notes, *text.notes])


def _words(state: FormState) -> list[str]:
    words = [state.runs]
    for row in state.inputs:
        words += ["-i", row.text.strip()] if row.text.strip() else []
    outputs = [line.strip() for line in state.outputs.splitlines() if line.strip()]
    words += [word for line in outputs if line != "outputs:/outputs" for word in ("-o", line)]
    for name, flag in {**_LINE_FLAGS, **_code_flags(state)}.items():
        lines = [line.strip() for line in getattr(state, name).splitlines() if line.strip()]
        words += [word for line in lines for word in (flag, _masked_pair(line) if name == "env" else line)]
    for name, flag in _FLAGS.items():
        text = getattr(state, name).strip()
        words += [flag, text] if text and (name, text) not in _SILENT else []
    queue = state.queue_timeout.strip()
    if queue and queue != "24h":
        words += ["--queue-timeout", queue]
    if state.kind == "ops":
        words += ["--target", "all"]
    elif state.count.strip() not in ("", "1"):
        words += ["--count", state.count.strip()]
    if state.base.tasks and state.base.tasks[0].name != "main":
        words += ["--task-name", state.base.tasks[0].name]
    if state.is_code:
        return [*words, "--image", state.image.strip()] if state.image.strip() else words
    words += [f"--entrypoint={word}" for word in _split(state.entrypoint)]
    command = _split(state.command)
    return [*words, state.image.strip(), *(["--", *command] if command else [])]


def _code_flags(state: FormState) -> dict[str, str]:
    """Return the flags of a language: packages are for Python bodies, as is their field."""
    if not state.is_code:
        return {}
    return {"pip": "--pip", **_CODE_FLAGS} if state.runs == "python" else _CODE_FLAGS


def _means(words: Sequence[str], state: FormState, job: Job) -> bool:
    """Whether a cell with these words makes the job."""
    if state.runs != DOCKER and not state.is_code:
        return False
    try:
        values = _parsed(words)
        texts = values.pop("inputs")
        sources = [source for text in texts for source in seen_input(text)]
        engine = SpecConfig()
        if not state.is_code:
            engine = docker_engine(
                values["image"], values["command"], entrypoint=values["entrypoint"], workdir=values["workdir"]
            )
        made = job_of(
            engine,
            job_options({**values, "inputs": (), "pip": (), "requirements": (), "no_binary": ()}, _no_client),
        )
    except (BacalhauError, click.ClickException, click.exceptions.Exit, KeyError):
        return False
    made = replace(made, tasks=[replace(made.task, input_sources=sources)])
    return _comparable(made, state) == _comparable(job, state)


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    with cell_group.make_context("%%bacalhau", list(words)) as context:
        return dict(cell_group.invoke(context))


def _no_client() -> NoReturn:
    raise BacalhauError("no job is looked up")


def _comparable(job: Job, state: FormState) -> Job:
    """Return a job without what the notebook makes of the code, and with its secrets masked."""
    tasks = [replace(task, env=masked_variables(task.env)) for task in job.tasks]
    if state.is_code and tasks:
        tasks[0] = replace(tasks[0], engine=SpecConfig())
    return replace(job, tasks=tasks)


def _masked_pair(line: str) -> str:
    name, equals, value = line.partition("=")
    return f"{name}={masked_value(name.strip(), value)}" if equals else line


def _has_secrets(job: Job) -> bool:
    return any(MASK in value for value in masked_variables(task_of(job).env).values())


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


@dataclass(frozen=True)
class YamlText:
    """A spec as YAML, and what is to be known about it."""

    text: str
    notes: Sequence[str] = ()


def yaml_text(job: Job, *, exact: bool = False, is_code: bool = False) -> YamlText:
    """Return a spec as YAML.

    Parameters
    ----------
    job
        The job.
    exact
        With secrets and long encoded data: what ``job run`` takes.
    is_code
        Whether the engine is made of the code later.
    """
    here = [item for item in task_of(job).input_sources if item.source.type == PLACEHOLDER]
    notes = [_CODE_LATER] if is_code else []
    if is_code:
        job = replace(job, tasks=[replace(task, engine=SpecConfig()) for task in job.tasks])
    notes += [f"{item.alias} is not in the YAML: only Submit and flags send it" for item in here]
    if here:
        others = [item for item in job.task.input_sources if item not in here]
        job = replace(job, tasks=[replace(job.task, input_sources=others), *job.tasks[1:]])
    plain = spec_of(job)
    if not exact:
        short = _shortened(plain)
        if short != plain:
            notes.append("long data is shortened here: form.yaml holds all of it")
        plain = without_secrets(short)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    if not is_readable(text.replace("\n", "")):
        # What nobody sees is spelled out, in YAML's own way.
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=False, width=100)
    return YamlText(text, notes)


def _shortened(plain: Any) -> Any:
    if isinstance(plain, Mapping):
        return {key: _shortened(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_shortened(item) for item in plain]
    if isinstance(plain, str) and len(plain) > _TEXT_LIMIT:
        return f"{plain[:40]}… {format_bytes(len(plain))}"
    return plain

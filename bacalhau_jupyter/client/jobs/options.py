"""The options of a job besides its engine: data, resources, placement and limits, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from bacalhau_jupyter.client.jobs.submission import QUEUE_TIMEOUT_S
from bacalhau_jupyter.client.packages.requirements import Required
from bacalhau_jupyter.models.jobs.spec import InputSource, ResultPath, SpecConfig

OUTPUTS = ResultPath(name="outputs", path="/outputs")
"""What every job of ours brings back."""


class GivesInputs(Protocol):
    """A job's result, or a part of it: files that lie somewhere already."""

    def as_inputs(self) -> Sequence[InputSource]:
        """Return the inputs for another job's spec."""
        ...


Input = InputSource | GivesInputs | str
"""An input of a job: a short form as ``-i`` takes it, an input source, or another job's result or a part of it."""


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What shapes a job besides its engine.

    Attributes
    ----------
    inputs
        Short forms as ``-i`` takes them, input sources, or other jobs' results or parts of them.
    outputs
        What the job brings back: result paths, or short forms as ``-o`` takes them.
    publisher
        Where results go, also as a short form; None: to the node (``local``), where there are outputs.
    env
        Environment variables.
    cpu, memory, disk, gpu
        Resources as Bacalhau writes them (``500m``, ``4gb``); empty for the node's defaults.
    network, domains
        ``None``, ``Host``, ``HTTP`` or ``Bridge``, and the domains that an ``HTTP`` job may reach.
    timeout, queue_timeout
        How long the job may take in all (0: the node's default), and may wait for room: seconds, or ``1m30s``.
    name, namespace, labels
        How it is found.
    constraints
        A selector of the nodes that may run it.
    host
        A Docker host of the node that may run it, by name; with ``constraints``, both hold.
    priority
        Larger goes first.
    count
        Number of partitions.
    task_name
        The task's name.
    pip
        Python packages that the job imports, as ``--pip`` takes them (``polars>=1``); they are resolved when the job
        is submitted, for the Python that it runs with.
    no_binary
        Names of packages whose source is taken: it is built inside a job of its own, as for ``--no-binary``.
    target
        ``any`` for a batch job, ``all`` for an ops job on every matching node.
    """

    inputs: Sequence[Input] = ()
    outputs: Sequence[ResultPath | str] = (OUTPUTS,)
    publisher: SpecConfig | str | None = None
    env: Mapping[str, str] | None = None
    cpu: str | float = ""
    memory: str = ""
    disk: str = ""
    gpu: str | int = ""
    network: str = ""
    domains: Sequence[str] = ()
    timeout: int | str = 0
    queue_timeout: int | str = QUEUE_TIMEOUT_S
    name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] | None = None
    constraints: str = ""
    host: str = ""
    priority: int = 0
    count: int = 1
    task_name: str = "main"
    pip: Sequence[str | Required] = ()
    no_binary: Sequence[str] = ()
    target: str = "any"

    @property
    def asks_gpu(self) -> bool:
        """Whether the job needs a GPU: ``gpu`` is neither empty nor zero."""
        return str(self.gpu) not in ("", "0")

    @property
    def asks_container(self) -> bool:
        """Whether the job runs in a container, whatever runs Python here: for a GPU, or on a Docker host."""
        return self.asks_gpu or bool(self.host)


DEFAULT_OPTIONS = JobOptions()


class JobKeywords(TypedDict, total=False):
    """The fields of `JobOptions` as keywords, for functions that people call; a test keeps the two the same."""

    inputs: Sequence[Input]
    outputs: Sequence[ResultPath | str]
    publisher: SpecConfig | str | None
    env: Mapping[str, str] | None
    cpu: str | float
    memory: str
    disk: str
    gpu: str | int
    network: str
    domains: Sequence[str]
    timeout: int | str
    queue_timeout: int | str
    name: str
    namespace: str
    labels: Mapping[str, str] | None
    constraints: str
    host: str
    priority: int
    count: int
    task_name: str
    pip: Sequence[str | Required]
    no_binary: Sequence[str]
    target: str

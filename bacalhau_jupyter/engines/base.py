"""What an engine is: the seam between the compute node and whatever runs a task.

An engine never decides *whether* an execution runs (bids, capacity and time belong to the compute node); it
says whether it *can*, starts it, tells how it ended, and cleans up. Everything is keyed by execution ID and
idempotent, so a restarted node asks the same questions again.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bacalhau_jupyter.engines.logfile import STREAM_LIMIT
from bacalhau_jupyter.lib.beneath import FileId
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.resources import Resources
from bacalhau_jupyter.transfer.core.files import Progress as Progress
from bacalhau_jupyter.transfer.core.files import no_progress as no_progress


@dataclass(frozen=True)
class Availability:
    """Whether an engine, source or publisher can work on this node.

    ``runtime`` names what does the work ("Docker Engine 27.1", "bubblewrap 0.11.0"); ``problem`` is one
    sentence saying why it can't (shown in node info and in bid rejections); ``may_change`` says that asking again
    may help.
    """

    available: bool
    runtime: str = ""
    problem: str = ""
    may_change: bool = False


@dataclass(frozen=True)
class Bid:
    """Whether this node would run an execution; a rejection's reason starts "this node …"."""

    accepted: bool
    reason: str = ""


ACCEPTED = Bid(accepted=True)


@dataclass(frozen=True)
class InputMount:
    """An input on this host's disk and where the task sees it (absolute ``target``).

    Attributes
    ----------
    identity
        Which bytes these are (`sources.base.IdentifyingSource`), where the source knows better than when it was asked.
    checked
        Which object (device, inode) was found at ``path``, a real path without links; engines mount this one or
        nothing. None: nobody has looked yet.
    jobs_write
        Whether some job of this node may write to the path, or to a directory above it.
    """

    path: Path
    target: str
    read_only: bool = True
    identity: str = ""
    checked: FileId | None = field(default=None, compare=False)
    jobs_write: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class OutputMount:
    """A result directory on this host's disk and where the task writes it (absolute ``target``)."""

    name: str
    path: Path
    target: str


@dataclass(frozen=True)
class RunRequest:
    """Everything an engine needs to run one execution.

    Attributes
    ----------
    execution
        With its job; ``execution.job.task`` is what to run.
    env
        Resolved environment of the task (``BACALHAU_*`` and ``Task.Env``).
    resources
        What the capacity tracker granted; the engine enforces what it can.
    directory
        Private directory of this execution (0700) for the engine's own files.
    log_path
        Where stdout/stderr frames go (`engines.logfile`).
    timeout_s
        Seconds the task may run, or None. The compute node enforces it too; an engine whose work survives
        the node (process) must enforce it itself.
    grace_s
        Seconds an execution may go on while no node looks after it.
    log_limit
        Bytes of stdout, and of stderr, that are kept.
    """

    execution: Execution
    node_id: str
    env: Mapping[str, str]
    resources: Resources
    inputs: Sequence[InputMount]
    outputs: Sequence[OutputMount]
    directory: Path
    log_path: Path
    timeout_s: float | None = None
    grace_s: float = 600.0
    log_limit: int = STREAM_LIMIT


class EndReason(enum.Enum):
    """Why a task ended."""

    EXITED = "exited"
    OOM = "out of memory"
    TIMEOUT = "timed out"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True)
class Outcome:
    """How a task ended. ``error`` is set exactly when the execution failed (not for a non-zero exit code)."""

    reason: EndReason
    exit_code: int = 0
    error: BacalhauError | None = None


class Engine(Protocol):
    """Runs tasks of one engine type. All methods are called on the event loop and never block it."""

    type: str
    """Engine type on the wire, lower case."""

    async def probe(self) -> Availability:
        """Find out what runs this engine here: at start, and again while it is missing and that may change."""
        ...

    async def bid(self, execution: Execution) -> Bid:
        """Say whether this node can run the execution (image platform, tier, mount targets, network…).

        Raises
        ------
        BacalhauError
            The question can't be answered (image not found, daemon gone): the execution fails.
        """
        ...

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Start the execution, or find it started already; return the runtime's name for the record.

        Raises
        ------
        BacalhauError
            It could not be started; nothing is left behind.
        """
        ...

    async def attach(self, request: RunRequest) -> bool:
        """After a node restart: whether the execution still exists (running or ended) and can be waited for."""
        ...

    async def wait(self, execution_id: str) -> Outcome:
        """Wait until the task has ended and all its output is in the log file."""
        ...

    async def cancel(self, execution_id: str) -> None:
        """Stop the task now (short grace, then kill); `wait` then returns. Unknown or ended: nothing."""
        ...

    async def clean(self, execution_id: str) -> None:
        """Remove what the engine keeps of an ended execution (container, supervisor files)."""
        ...

    async def existing(self) -> list[str]:
        """Execution IDs of this node that the engine still holds anything of (for the sweep at start)."""
        ...

    async def close(self) -> None:
        """Release connections and threads; running tasks stay alive."""
        ...


@runtime_checkable
class ShowingEngine(Protocol):
    """An engine whose tasks see their inputs and results at further places, too; implemented beside `Engine`."""

    def prefixes(self, execution_id: str) -> Sequence[str]:
        """Return the absolute directories, as the task saw them, below which ``/inputs`` and ``/outputs`` were."""
        ...


@runtime_checkable
class ReclaimingEngine(Protocol):
    """An engine whose tasks may leave files of other users on this disk; implemented beside `Engine`."""

    async def reclaim(self, execution: Execution, directory: Path) -> None:
        """Make what tasks left below a directory this process's own, so that it can be removed.

        Raises
        ------
        BacalhauError
            It can't be done (now).
        """
        ...


class Environments(Protocol):
    """The Python environments of this host that an engine shows to jobs: those that were registered, no others."""

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Keep an environment and return its name; only for the node's own user.

        Raises
        ------
        BacalhauError
            It can't be shown to jobs, or not be kept.
        """
        ...

    async def known(self) -> list[KnownEnvironment]:
        """Return every environment that is kept."""
        ...


@runtime_checkable
class KeepsEnvironments(Protocol):
    """An engine that shows its jobs Python environments."""

    @property
    def environments(self) -> Environments:
        """What it keeps of them."""
        ...


class UploadLinks(Protocol):
    """Where a publisher without credentials of its own may upload to; the orchestrator signs."""

    async def problem(self) -> str:
        """Say, in one sentence, why the orchestrator signs nothing; empty when it does, or nobody can tell yet."""
        ...

    async def link(self, job_id: str, execution_id: str) -> str:
        """Return a link that takes the archive of an execution by PUT.

        Raises
        ------
        BacalhauError
            The orchestrator refuses, or can't be reached.
        """
        ...


async def _none_known() -> Collection[str]:
    return ()


def _never(path: Path) -> bool:
    return False


@dataclass(frozen=True)
class PluginOptions:
    """What the node hands to every engine, source and publisher it creates.

    Attributes
    ----------
    node_id
        This compute node.
    data_dir
        The compute node's directory (absolute).
    settings
        Looks up a configuration key by its official name (``"Compute.AllowListedLocalPaths"``).
    hidden
        Paths no job may ever see (repo directory, keys).
    upload_links
        The orchestrator's managed bucket; None where there is no asking for it.
    writable
        Whether the configuration lets jobs write at a real path of this host.
    stored
        Returns the file behind a link that this node signed, None for any other URL. May block; raises BacalhauError
        for a link whose time is over.
    unfinished
        Tells the IDs of executions whose job is not over, as far as this node can know.
    """

    node_id: str
    data_dir: Path
    settings: Callable[[str], Any] = lambda key: None
    hidden: tuple[Path, ...] = ()
    clock: Clock = field(default_factory=SystemClock)
    upload_links: UploadLinks | None = None
    writable: Callable[[Path], bool] = _never
    stored: Callable[[str], Path | None] = lambda url: None
    unfinished: Callable[[], Awaitable[Collection[str]]] = _none_known

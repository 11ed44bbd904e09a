"""What an engine is: the seam between the compute node and whatever runs a task.

An engine never decides *whether* an execution runs (bids, capacity and time belong to the compute node); it
says whether it *can*, starts it, tells how it ended, and cleans up. Everything is keyed by execution ID and
idempotent, so a restarted node asks the same questions again.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import Port
from bacalhau_jupyter.models.records.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import (
    Availability,
    Bid,
    InputMount,
    OutputMount,
    Progress,
    no_progress,
)
from bacalhau_jupyter.plugins.logfile import STREAM_LIMIT


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
        Where stdout/stderr frames go (`plugins.logfile`).
    timeout_s
        Seconds the task may run, or None. The compute node enforces it too; an engine whose work survives
        the node (process) must enforce it itself.
    grace_s
        Seconds an execution may go on while no node looks after it.
    log_limit
        Bytes of stdout, and of stderr, that are kept.
    ports
        Ports of this host that are held for the execution; each has its number, and with a bridge its target.
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
    ports: Sequence[Port] = ()


class EndReason(enum.Enum):
    """Why a task ended."""

    EXITED = "exited"
    OOM = "out of memory"
    TIMEOUT = "timed out"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes
    ----------
    error
        Set exactly when the execution failed (not for a non-zero exit code).
    silent
        Whether it is known that the task printed nothing; then its log is not read.
    began_ns, ended_ns
        When the task itself began and ended, in Unix nanoseconds of this machine's clock; 0 where that is not known.
        It may be long before anybody here could hear of it.
    """

    reason: EndReason
    exit_code: int = 0
    error: BacalhauError | None = None
    silent: bool = False
    began_ns: int = 0
    ended_ns: int = 0


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
class TellingEngine(Protocol):
    """An engine that tells what it waits for while it looks at an offer (optional)."""

    async def bid_telling(self, execution: Execution, progress: Progress) -> Bid:
        """Bid as `Engine.bid` does, and report what takes long."""
        ...


@runtime_checkable
class CombinedEngine(Protocol):
    """An engine that hands its tasks to others; implemented beside `Engine`."""

    @property
    def parts(self) -> Sequence[Engine]:
        """Return those that it may use."""
        ...


@runtime_checkable
class FilelessEngine(Protocol):
    """An engine that uses no directory: none is made for a task without results; implemented beside `Engine`."""

    needs_no_directory: Literal[True]


@runtime_checkable
class SelfReliantEngine(Protocol):
    """An engine that needs no service: its probe asks this machine alone; implemented beside `Engine`."""

    needs_no_service: Literal[True]


@runtime_checkable
class WitnessEngine(Protocol):
    """An engine that knows when a task ended also where nobody looked; implemented beside `Engine`."""

    async def ended_ns(self, execution: Execution) -> int:
        """Return when the task ended, in Unix nanoseconds of this machine's clock; 0: it runs, or is not known.

        Raises
        ------
        NetworkFailure
            Nobody can say now.
        """
        ...


@runtime_checkable
class DeviceEngine(Protocol):
    """An engine that may be unable to hand a GPU of this host to a task; implemented beside `Engine`."""

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say in one sentence why a task can't get this GPU here; empty when it can."""
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

    async def registered(self) -> list[KnownEnvironment]:
        """Return every environment that is kept."""
        ...


@runtime_checkable
class KeepsOwnPython(Protocol):
    """Environments of which the node's own may stand in for one that is not here."""

    async def register_own(self, description: PythonDescription) -> None:
        """Keep the environment of the Python that the node itself runs with.

        Raises
        ------
        BacalhauError
            It can't be shown to jobs, or not be kept.
        """
        ...


@runtime_checkable
class KeepsEnvironments(Protocol):
    """An engine that shows its jobs Python environments."""

    @property
    def environments(self) -> Environments:
        """What it keeps of them."""
        ...

"""What a compute node stores about one execution: plain data."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.codec import Wire
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig
from bacalhau_jupyter.models.names import from_wire, to_wire
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType, RunCommandResult
from bacalhau_jupyter.models.records.history import Event as HistoryEvent
from bacalhau_jupyter.plugins.contract import InputMount

MOMENT_S = 0.001
"""What is left of a time limit, in seconds, at least: no engine is given a limit of nothing."""


class Phase(enum.StrEnum):
    """Where an execution is on this node."""

    NEW = "new"
    OFFERED = "offered"
    FETCHING = "fetching"
    STARTING = "starting"
    RUNNING = "running"
    PUBLISHING = "publishing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BID_REFUSED = "bid refused"
    BID_REJECTED = "bid rejected"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in _TERMINAL

    @property
    def is_busy(self) -> bool:
        """Whether an activity is at work and will end with an event."""
        return self in _BUSY

    @property
    def wire(self) -> ExecutionStateType:
        """The state as Bacalhau names it."""
        return _WIRE[self]


_TERMINAL = frozenset(
    {Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED, Phase.BID_REFUSED, Phase.BID_REJECTED},
)
_BUSY = frozenset({Phase.NEW, Phase.FETCHING, Phase.STARTING, Phase.RUNNING, Phase.PUBLISHING})
_WIRE = {
    Phase.NEW: ExecutionStateType.NEW,
    Phase.OFFERED: ExecutionStateType.ASK_FOR_BID_ACCEPTED,
    Phase.FETCHING: ExecutionStateType.BID_ACCEPTED,
    Phase.STARTING: ExecutionStateType.BID_ACCEPTED,
    Phase.RUNNING: ExecutionStateType.RUNNING,
    Phase.PUBLISHING: ExecutionStateType.PUBLISHING,
    Phase.COMPLETED: ExecutionStateType.COMPLETED,
    Phase.FAILED: ExecutionStateType.FAILED,
    Phase.CANCELLED: ExecutionStateType.CANCELLED,
    Phase.BID_REFUSED: ExecutionStateType.ASK_FOR_BID_REJECTED,
    Phase.BID_REJECTED: ExecutionStateType.BID_REJECTED,
}


class Verdict(enum.StrEnum):
    """What is to become of an execution whose activity is being interrupted."""

    NONE = ""
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"


class Fault(Wire):
    """Why an execution failed; plain data, so that it can be stored."""

    message: str = ""
    topic: str = ""
    details: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, error: BacalhauError, topic: str) -> Fault:
        """Describe an exception."""
        return cls(message=error.message, topic=topic, details=error.event_details())


class StoredInput(Wire):
    """An input on disk, as the engine was (or will be) given it.

    Attributes
    ----------
    path
        In the form of `models.names`: a real path may not be UTF-8.
    device, inode
        Which object was found at ``path`` when it was fetched; both 0: unknown.
    jobs_write
        Whether some job may write there, or to a directory above it.
    settled
        Whether every user may read all of it, and nobody changes it.
    """

    path: str = ""
    target: str = ""
    read_only: bool = True
    device: int = 0
    inode: int = 0
    jobs_write: bool = False
    settled: bool = False

    @classmethod
    def of(cls, mount: InputMount) -> StoredInput:
        """Describe a fetched input."""
        device, inode = mount.checked or (0, 0)
        return cls(
            path=to_wire(str(mount.path)),
            target=mount.target,
            read_only=mount.read_only,
            device=device,
            inode=inode,
            jobs_write=mount.jobs_write,
            settled=mount.settled,
        )

    def mount(self) -> InputMount:
        """Return what an engine is given."""
        checked = (self.device, self.inode) if self.inode else None
        return InputMount(
            Path(from_wire(self.path)),
            self.target,
            self.read_only,
            checked=checked,
            jobs_write=self.jobs_write,
            settled=self.settled,
        )


class ExecutionRecord(Wire):
    """What this node knows of an execution. Times are Unix nanoseconds, 0 when it has not happened.

    Attributes
    ----------
    direct
        Wanted running at once: an accepted bid is not reported, the execution just starts.
    held
        Resources reserved; ``reserved`` says whether they still are.
    ports
        Ports of this host reserved with them.
    bid_notes
        What taking it means, a sentence each: that an image will be copied.
    notes
        Detail for the history before the final event (how much was fetched, and from where).
    left_out
        What the task left behind and that is not in its published results, a line each.
    accepted_ns
        When work began; time limits count from here.
    started_ns, exited_ns
        When the task itself began and ended: inputs were fetched before, results are published after it.
    late_ns
        How long after its end that was heard of, where it was long: this time does not count against the limit.
    away_ns, back_ns
        When the machine that runs the task last stopped answering, and when it answered again.
    """

    execution: Execution = Execution()
    phase: Phase = Phase.NEW
    direct: bool = False
    verdict: Verdict = Verdict.NONE
    reserved: bool = False
    held: Resources = Resources()
    ports: list[Port] = msgspec.field(default_factory=list)
    bid_notes: list[str] = msgspec.field(default_factory=list)
    inputs: list[StoredInput] = msgspec.field(default_factory=list)
    notes: list[HistoryEvent] = msgspec.field(default_factory=list)
    runtime: str = ""
    output: RunCommandResult | None = None
    published: SpecConfig | None = None
    left_out: list[str] = msgspec.field(default_factory=list)
    fault: Fault | None = None
    created_ns: int = 0
    accepted_ns: int = 0
    started_ns: int = 0
    exited_ns: int = 0
    late_ns: int = 0
    away_ns: int = 0
    back_ns: int = 0
    ended_ns: int = 0

    @property
    def id(self) -> str:
        """Execution ID."""
        return self.execution.id

    @property
    def is_away(self) -> bool:
        """Whether the machine that runs the task does not answer."""
        return self.away_ns > self.back_ns

    @property
    def limit_ns(self) -> int:
        """When its time is over; 0 without a limit, or before work began."""
        return self.accepted_ns + self.timeout_s * SECOND if self.timeout_s and self.accepted_ns else 0

    def remaining_s(self, now_ns: int) -> float | None:
        """Return the seconds until its time is over, at least `MOMENT_S`; None without a limit."""
        if not self.limit_ns:
            return None
        return max(MOMENT_S, (self.limit_ns + self.late_ns - now_ns) / SECOND)

    @property
    def timeout_s(self) -> int:
        """Seconds the execution may take, 0 for no limit (its own time-out, else the job's total)."""
        if self.execution.job is None or not self.execution.job.tasks:
            return 0
        if self.execution.job.is_long_running:
            return 0
        limits = self.execution.job.task.timeouts
        return limits.execution_timeout or limits.total_timeout

"""What happens to an execution on this node, and what its state machine instructs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Fault, StoredInput
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.plugins.engine import Outcome

# ---- events


@dataclass(frozen=True)
class BidMade:
    """The node would run it and holds ``held`` and ``ports`` for it; ``notes`` are sentences for people."""

    held: Resources
    ports: tuple[Port, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BidRefused:
    """The node would not run it; nothing is held."""

    message: str
    busy: bool = False


@dataclass(frozen=True)
class Accepted:
    """The orchestrator took the bid."""


@dataclass(frozen=True)
class Rejected:
    """The orchestrator did not take the bid."""


@dataclass(frozen=True)
class Cancel:
    """The orchestrator asked to stop it."""


@dataclass(frozen=True)
class Overdue:
    """The time limit has passed."""


@dataclass(frozen=True)
class OfferExpired:
    """No decision came for a long time."""


@dataclass(frozen=True)
class Fetched:
    """All inputs are on disk; ``story`` and ``details`` say how much that was."""

    inputs: tuple[StoredInput, ...] = ()
    story: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """The engine runs it; ``runtime`` names what does."""

    runtime: str = ""


@dataclass(frozen=True)
class Ended:
    """The task is over."""

    outcome: Outcome
    output: RunCommandResult | None = None


@dataclass(frozen=True)
class Published:
    """The results are published where the job asked; ``left_out`` says what is not among them, a line each."""

    result: SpecConfig
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unpublished:
    """The task has done its work, but its results can't be published; ``kept``: where they are on this node."""

    fault: Fault
    kept: SpecConfig | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Faulted:
    """The activity failed, or was interrupted before it was done."""

    fault: Fault


@dataclass(frozen=True)
class Restored:
    """The node has restarted. ``alive``: the engine still has the task (running or ended), in ``runtime``."""

    alive: bool = False
    runtime: str = ""


@dataclass(frozen=True)
class Lost:
    """The machine that runs the task does not answer; ``problem`` says so in a sentence.

    ``is_engine_off``: the machine does, and its engine is not there.
    """

    problem: str = ""
    is_engine_off: bool = False


@dataclass(frozen=True)
class Returned:
    """The machine that runs the task answers again."""


Event = (
    BidMade
    | BidRefused
    | Accepted
    | Rejected
    | Cancel
    | Overdue
    | OfferExpired
    | Fetched
    | Started
    | Ended
    | Published
    | Unpublished
    | Faulted
    | Restored
    | Lost
    | Returned
)


# ---- instructions


class Act(enum.StrEnum):
    """What the runner is to do. The first five start the activity of the phase with the same role."""

    EVALUATE = "evaluate the bid"
    FETCH = "fetch inputs"
    START = "start the engine"
    WAIT = "wait for the task"
    PUBLISH = "publish results"
    INTERRUPT = "interrupt the activity"
    RESERVE = "take over the reservation"
    RELEASE = "release the reservation"
    REPORT_BID = "report the bid"
    REPORT_REFUSAL = "report the refused bid"
    REPORT_RESULT = "report the result"
    REPORT_FAILURE = "report the failure"
    CLEAN = "clean up"


ACTIVITIES = {Act.EVALUATE, Act.FETCH, Act.START, Act.WAIT, Act.PUBLISH}
REPORTS = {Act.REPORT_BID, Act.REPORT_REFUSAL, Act.REPORT_RESULT, Act.REPORT_FAILURE}


@dataclass(frozen=True)
class Step:
    """The new record, what to do (in order), and a sentence for the log."""

    record: ExecutionRecord
    acts: tuple[Act, ...] = ()
    story: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything happened."""
        return bool(self.acts) or not self.story.startswith("ignored")

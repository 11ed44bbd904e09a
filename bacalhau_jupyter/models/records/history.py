"""Events and the history rows made of them."""

from __future__ import annotations

import enum

from msgspec.structs import force_setattr

from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.models.codec import Wire, always

LEFT_OUT, LEFT_OUT_COUNT = "LeftOut", "LeftOutCount"
"""Details of an execution's end: what is not in its published results, a line each (the first of them), and how many.

An addition of ours: ``outputs/lib → /usr/lib (a link out of the results)``.
"""

CANDIDATES = "Candidates"
"""Detail of the event that places an execution: how many nodes could take it, such as ``2 of 3``. Ours, too."""

PRINCIPAL = "Principal"
"""Detail of an event of a job that somebody caused: who, such as ``user:ada`` or ``owner``. Ours, too."""


STARTED, EXITED = "Started", "Exited"
"""Details of an execution's end: when its task began, and when it ended (RFC 3339). Ours, too."""

AGAIN = "Again"
"""Detail of the event that places an execution: why the one before it, whose task had begun, failed. Ours, too."""

LINK = "Link"
"""Detail of an event about the way to the machine of a task. Ours, too."""


class Topic(enum.StrEnum):
    """Event topics, as the official CLI shows them."""

    SUBMISSION = "Submission"
    STATE_UPDATE = "State Update"
    SCHEDULING = "Scheduling"
    QUEUEING = "Queueing"
    JOB_TIMEOUT = "Job Timeout"
    EXECUTION_TIMEOUT = "Exec Timeout"
    EXECUTION_SCANNING = "Exec Scanning"
    EXECUTION = "Execution"
    INPUTS = "Downloading Inputs"
    ENVIRONMENT = "Preparing Environment"
    RUNNING = "Running Execution"
    PUBLISHING = "Publishing Results"
    RESTART = "Restart"
    # An addition of ours: the job is deleted. The last event of a job, and the only one that is left of it.
    DELETION = "Deletion"
    # An addition of ours, on the event stream only: how far a phase of an execution is.
    PROGRESS = "Progress"
    # Likewise: a node came, went, or has more or less to give.
    NODE = "Node"


class Event(Wire):
    """What happened, in words. ``timestamp`` is RFC 3339 with nanoseconds."""

    message: str = always("")
    topic: str = always("")
    timestamp: str = always("")
    details: dict[str, str] = {}

    def __post_init__(self) -> None:
        # Also what other nodes report: events are shown to every user who may see the job.
        if (message := mask_secrets(self.message)) != self.message:
            force_setattr(self, "message", message)
        if (details := {name: mask_secrets(text) for name, text in self.details.items()}) != self.details:
            force_setattr(self, "details", details)


class HistoryType(enum.Enum):
    """Whether a row is about the job or one of its executions."""

    JOB = "JobLevel"
    EXECUTION = "ExecutionLevel"


class JobHistory(Wire):
    """One history row; ``seq_num`` counts per job from 1 across versions."""

    seq_num: int = always(0)
    type: HistoryType = always(HistoryType.JOB)
    job_id: str = always("")
    job_version: int = always(0)
    execution_id: str = ""
    event: Event = always(Event())
    time: str = always("")


class StreamEvent(Wire, rename=None):
    """One row of the event stream (an addition of ours, so its names are ours: lower case).

    ``seq`` counts over all jobs of a node (0: a passing event that is not stored); ``state`` is the job's state
    after the event, empty where it is not known.
    """

    seq: int = always(0)
    time: str = always("")
    topic: str = always("")
    message: str = always("")
    job: str = always("")
    job_version: int = always(0)
    execution: str = ""
    node: str = ""
    state: str = always("")
    details: dict[str, str] = {}

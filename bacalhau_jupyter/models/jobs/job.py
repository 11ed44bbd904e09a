"""Job: the spec a person submits plus the state the orchestrator keeps."""

from __future__ import annotations

import enum

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.spec import Constraint, Task


class JobType(enum.StrEnum):
    """Whether a job ends, and on how many nodes it runs: some (batch, service) or all that match (ops, daemon)."""

    BATCH = "batch"
    SERVICE = "service"
    OPS = "ops"
    DAEMON = "daemon"


class JobStateType(enum.Enum):
    """States of a job; text on the wire."""

    UNDEFINED = "Undefined"
    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @classmethod
    def _missing_(cls, value: object) -> JobStateType:
        text = str(value).lower()
        return next((member for member in cls if member.value.lower() == text), cls.UNDEFINED)

    @property
    def is_terminal(self) -> bool:
        """Whether a job in this state is over."""
        return self in (JobStateType.COMPLETED, JobStateType.FAILED, JobStateType.STOPPED)


class JobState(Wire):
    """Where a job stands, and why."""

    state_type: JobStateType = always(JobStateType.UNDEFINED)
    message: str = ""
    details: dict[str, str] = {}


class Job(Wire):
    """A job. Times are Unix nanoseconds.

    ``type`` stays text, because a wrong one must reach validation rather than fail to decode.
    ``count`` is None only until `normalize_job` has run: "not given" and an explicit 0 mean different things.
    """

    id: str = always("")
    name: str = always("")
    namespace: str = always("")
    type: str = always("")
    priority: int = always(0)
    count: int | None = None
    constraints: list[Constraint] = always([])
    meta: dict[str, str] = always({})
    labels: dict[str, str] = always({})
    tasks: list[Task] = always([])
    state: JobState = always(JobState())
    version: int = always(0)
    revision: int = always(0)
    create_time: int = always(0)
    modify_time: int = always(0)

    @property
    def task(self) -> Task:
        """The job's one task."""
        return self.tasks[0]

    @property
    def is_terminal(self) -> bool:
        """Whether the job is over."""
        return self.state.state_type.is_terminal

    @property
    def is_long_running(self) -> bool:
        """Whether the job runs until somebody stops it."""
        return self.type in (JobType.SERVICE, JobType.DAEMON)


META_ORCHESTRATOR_ID = "bacalhau.org/orchestrator.id"
META_REQUESTER_ID = "bacalhau.org/requester.id"
META_SERVER_INSTANCE = "bacalhau.org/server.instance.id"
META_SERVER_INSTALLATION = "bacalhau.org/server.installation.id"
META_CLIENT_INSTANCE = "bacalhau.org/client.instance.id"
META_CLIENT_INSTALLATION = "bacalhau.org/client.installation.id"
META_TRACE = "bacalhau.org/traceparent"
"""The span of the request that submitted a job, for those who trace."""
RESERVED_META_PREFIX = "bacalhau.org/"

META_TITLE = "jupyter.org/title"
"""What a job is called in lists: names are unique in a namespace, so a title stands beside them.

The panel shows it where a job has no name of its own, and groups the jobs of one run of a cell by it.
"""

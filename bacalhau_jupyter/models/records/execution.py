"""Execution: one attempt to run a job's task on one node."""

from __future__ import annotations

import enum

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig

REJECTED_BID = "rejected bid: "
"""How the reason of a node begins that turned an execution down, in the official words."""
RUN_OUTPUT_LIMIT = 2048
"""Bytes of stdout and of stderr kept in `RunCommandResult`."""


class ExecutionStateType(enum.IntEnum):
    """States seen on the compute side; integers on the wire."""

    UNDEFINED = 0
    NEW = 1
    ASK_FOR_BID = 2
    ASK_FOR_BID_ACCEPTED = 3
    ASK_FOR_BID_REJECTED = 4
    BID_ACCEPTED = 5
    RUNNING = 6
    PUBLISHING = 7
    BID_REJECTED = 8
    COMPLETED = 9
    FAILED = 10
    CANCELLED = 11

    @classmethod
    def _missing_(cls, value: object) -> ExecutionStateType:
        return cls.UNDEFINED

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to such an execution."""
        return self in _TERMINAL

    @property
    def is_discarded(self) -> bool:
        """Whether the execution ended without doing the job's work."""
        return self in _DISCARDED


_DISCARDED = frozenset(
    {
        ExecutionStateType.ASK_FOR_BID_REJECTED,
        ExecutionStateType.BID_REJECTED,
        ExecutionStateType.FAILED,
        ExecutionStateType.CANCELLED,
    },
)
_TERMINAL = _DISCARDED | {ExecutionStateType.COMPLETED}


class DesiredStateType(enum.IntEnum):
    """The state that the scheduler asks for; integers on the wire."""

    PENDING = 0
    RUNNING = 1
    STOPPED = 2

    @classmethod
    def _missing_(cls, value: object) -> DesiredStateType:
        return cls.PENDING


class ComputeState(Wire):
    """Observed state with its message."""

    state_type: ExecutionStateType = always(ExecutionStateType.UNDEFINED)
    message: str = ""
    details: dict[str, str] = {}


class DesiredState(Wire):
    """Wanted state with its message."""

    state_type: DesiredStateType = always(DesiredStateType.PENDING)
    message: str = ""
    details: dict[str, str] = {}


RUNTIME = "Runtime"
"""Detail of an execution and of its events: what ran it, with its version (an addition of ours)."""


def with_runtime(engine: str, runtime: str) -> str:
    """Return what runs a job, for people: the engine's type, and what serves it there."""
    return f"{engine} ({runtime})" if runtime and runtime != engine else engine


_UNSAID = -1
"""What official nodes write where no program said how it ended."""


class RunCommandResult(Wire):
    """Exit code and the first `RUN_OUTPUT_LIMIT` bytes of each stream."""

    stdout: str = always("")
    stdout_truncated: bool = always(False)
    # Upstream really writes this one member in lower case.
    stderr: str = always("", name="stderr")
    stderr_truncated: bool = always(False)
    exit_code: int = always(0)
    error_msg: str = always("")

    @property
    def code(self) -> int:
        """The exit code for people: 0 for a WebAssembly program that just returned, where official nodes write -1."""
        return 0 if self.exit_code == _UNSAID and not self.error_msg else self.exit_code


class AllocatedResources(Wire):
    """Resources held per task name."""

    tasks: dict[str, Resources] = always({})


class Execution(Wire):
    """An execution. Times are Unix nanoseconds; ``job`` is the job as it was when this was created.

    Ours: ``ports``, those of the node that are held for it.
    """

    id: str = always("")
    namespace: str = always("")
    eval_id: str = always("")
    name: str = always("")
    node_id: str = always("")
    job_id: str = always("")
    job: Job | None = None
    job_version: int = always(0)
    allocated_resources: AllocatedResources = always(AllocatedResources())
    desired_state: DesiredState = always(DesiredState())
    compute_state: ComputeState = always(ComputeState())
    published_result: SpecConfig = always(SpecConfig())
    run_output: RunCommandResult | None = always(None)
    previous_execution: str = always("")
    next_execution: str = always("")
    followup_eval_id: str = always("")
    partition_index: int = 0
    ports: list[Port] = []
    revision: int = always(0)
    create_time: int = always(0)
    modify_time: int = always(0)

    @property
    def runtime(self) -> str:
        """What ran it, with its version; empty where the node did not say."""
        return self.compute_state.details.get(RUNTIME, "")

    @property
    def is_terminal(self) -> bool:
        """Whether the execution is over."""
        return self.compute_state.state_type.is_terminal

    @property
    def is_discarded(self) -> bool:
        """Whether the execution ended without doing the job's work."""
        return self.compute_state.state_type.is_discarded

    @property
    def refusal(self) -> str | None:
        """Why its node turned it down, which may be empty; None where the node did not."""
        state = self.compute_state
        is_refused = state.state_type is ExecutionStateType.ASK_FOR_BID_REJECTED
        return state.message.removeprefix(REJECTED_BID) if is_refused else None

    @property
    def has_results(self) -> bool:
        """Whether there are results to fetch: also of one that failed because they could only be kept on its node."""
        ended = (ExecutionStateType.COMPLETED, ExecutionStateType.FAILED)
        return self.compute_state.state_type in ended and not self.published_result.is_empty

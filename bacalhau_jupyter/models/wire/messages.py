"""NCL messages between orchestrator and compute; the type names are the wire's own."""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution, RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.records.node import NodeInfo

# ---- control plane: compute asks, orchestrator answers


class HandshakeRequest(Wire):
    """A compute node introduces itself."""

    node_info: NodeInfo = always(NodeInfo())
    start_time: str = always(ZERO_TIME)
    last_orchestrator_seq_num: int = always(0)


class HandshakeResponse(Wire):
    """Whether the node may join; ``last_orchestrator_seq_num`` is where the node's tracker starts."""

    accepted: bool = always(False, name="accepted")
    reason: str = always("", name="reason")
    last_compute_seq_num: int = always(0)
    last_orchestrator_seq_num: int = always(0)


class HeartbeatRequest(Wire):
    """A sign of life with the free capacity."""

    node_id: str = always("")
    available_capacity: Resources = always(Resources())
    queue_used_capacity: Resources = always(Resources())
    last_orchestrator_seq_num: int = always(0)


class HeartbeatResponse(Wire):
    """The last message of this node that the orchestrator has processed."""

    last_compute_seq_num: int = always(0)


class ExecutionNote(Wire):
    """What happened to an execution that goes on. An addition of ours; official orchestrators leave it out."""

    execution_id: str = always("", name="ExecutionID")
    event: Event = always(Event())


class UpdateNodeInfoRequest(Wire):
    """The node's static description changed, or its executions have something to tell."""

    node_info: NodeInfo = always(NodeInfo())
    execution_notes: list[ExecutionNote] = []


class UpdateNodeInfoResponse(Wire):
    """Whether the new description was taken."""

    accepted: bool = always(False, name="accepted")
    reason: str = msgspec.field(default="", name="reason")


class ShutdownNoticeRequest(Wire):
    """The node goes away on purpose."""

    node_id: str = always("")
    reason: str = ""
    last_orchestrator_seq_num: int = always(0)


class ShutdownNoticeResponse(Wire):
    """The last message of this node that the orchestrator has processed."""

    last_compute_seq_num: int = always(0)


# ---- data plane: orchestrator → compute


class AskForBid(Wire):
    """Offer an execution: bid (desired Pending), or start at once (desired Running)."""

    events: list[Event] | None = always(None)
    execution: Execution = always(Execution())


class BidAccepted(Wire):
    """Start the execution."""

    events: list[Event] | None = always(None)
    execution_id: str = always("")
    accepted: bool = always(True)


class BidRejected(Wire):
    """The bid is not taken."""

    events: list[Event] | None = always(None)
    execution_id: str = always("")


class CancelExecution(Wire):
    """Stop the execution; a no-op when it is over or unknown."""

    events: list[Event] | None = always(None)
    execution_id: str = always("")


# ---- data plane: compute → orchestrator


class BidResult(Wire):
    """The answer to `AskForBid`; a rejection's reason is in ``events``.

    Ours: the ports of the node that are held for the execution. Official orchestrators ignore them.
    """

    execution_id: str = always("")
    job_id: str = always("")
    job_type: str = always("")
    events: list[Event] | None = always(None)
    accepted: bool = always(False)
    ports: list[Port] = []


class RunResult(Wire):
    """The execution ran to its end, whatever its exit code."""

    execution_id: str = always("")
    job_id: str = always("")
    job_type: str = always("")
    events: list[Event] | None = always(None)
    publish_result: SpecConfig | None = always(None)
    run_command_result: RunCommandResult | None = always(None)


class ComputeError(Wire):
    """The execution failed; the reason is the first of ``events``.

    Ours: what was kept of it, where it had run to its end. Official orchestrators ignore these members.
    """

    execution_id: str = always("")
    job_id: str = always("")
    job_type: str = always("")
    events: list[Event] | None = always(None)
    publish_result: SpecConfig | None = None
    run_command_result: RunCommandResult | None = None


# ---- requests: compute asks, orchestrator answers


class PreSignURLRequest(Wire):
    """Ask for a URL to upload a result to."""

    events: list[Event] | None = always(None)
    execution_id: str = always("")
    job_id: str = always("")


class PreSignURLResponse(Wire):
    """Where to upload the result."""

    execution_id: str = always("")
    job_id: str = always("")
    job_type: str = always("")
    events: list[Event] | None = always(None)
    pre_signed_url: str = always("", name="PreSignedURL")


# ---- logs


class ExecutionLogsRequest(Wire):
    """Open a log stream: ``tail`` = only lines from now on, ``follow`` = until the execution ends."""

    execution_id: str = always("")
    node_id: str = always("")
    tail: bool = always(False)
    follow: bool = always(False)


class BacError(Wire):
    """What answers a request that failed, in place of the answer that was asked for."""

    cause: str = always("")
    hint: str = always("")
    retryable: bool = always(False)
    fails_execution: bool = always(False)
    component: str = always("")
    http_status_code: int = always(0, name="HTTPStatusCode")
    details: dict[str, str] | None = always(None)
    code: str = always("")

    @classmethod
    def of(cls, error: BacalhauError) -> BacError:
        """Describe an exception for the wire."""
        return cls(
            cause=error.message,
            hint=error.hint,
            retryable=error.retryable,
            fails_execution=error.fails_execution,
            component=error.component,
            http_status_code=error.status,
            details=error.details or None,
            code=error.code,
        )


ControlRequest = (
    HandshakeRequest | HeartbeatRequest | UpdateNodeInfoRequest | ShutdownNoticeRequest | PreSignURLRequest
)
ControlResponse = (
    HandshakeResponse
    | HeartbeatResponse
    | UpdateNodeInfoResponse
    | ShutdownNoticeResponse
    | PreSignURLResponse
)
ToCompute = AskForBid | BidAccepted | BidRejected | CancelExecution
ToOrchestrator = BidResult | RunResult | ComputeError
Message = ControlRequest | ControlResponse | ToCompute | ToOrchestrator | BacError

MESSAGE_TYPES: dict[str, type[Message]] = {
    "transport.HandshakeRequest": HandshakeRequest,
    "transport.HandshakeResponse": HandshakeResponse,
    "transport.HeartbeatRequest": HeartbeatRequest,
    "transport.HeartbeatResponse": HeartbeatResponse,
    "transport.UpdateNodeInfoRequest": UpdateNodeInfoRequest,
    "transport.UpdateNodeInfoResponse": UpdateNodeInfoResponse,
    "transport.ShutdownNoticeRequest": ShutdownNoticeRequest,
    "transport.ShutdownNoticeResponse": ShutdownNoticeResponse,
    "AskForBid": AskForBid,
    "BidAccepted": BidAccepted,
    "BidRejected": BidRejected,
    "CancelExecution": CancelExecution,
    "BidResult": BidResult,
    "RunResult": RunResult,
    "ComputeError": ComputeError,
    "managedPublisher.PreSignURLRequest": PreSignURLRequest,
    "managedPublisher.PreSignURLResponse": PreSignURLResponse,
    "BacError": BacError,
}
"""Wire type name → model."""

TYPE_NAMES: dict[type, str] = {model: name for name, model in MESSAGE_TYPES.items()}
"""Model → wire type name."""

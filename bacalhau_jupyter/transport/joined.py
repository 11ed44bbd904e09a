"""One orchestrator's end over two carriers: nodes of this process over memory, all others over a link.

The link may come and go while the orchestrator runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import ControlRequest, ControlResponse, ExecutionLogsRequest
from bacalhau_jupyter.transport.base import (
    ComputeMessageHandler,
    ControlHandler,
    DeliveryError,
    Envelope,
    LinkState,
    OrchestratorTransport,
    Way,
)


class JoinedOrchestratorEnd:
    """The orchestrator's end (`transport.base.OrchestratorTransport`) towards near and far nodes.

    Parameters
    ----------
    near
        The way to nodes of this process.
    has_near
        Whether a node ID belongs to this process; no far node may use such an ID.
    """

    def __init__(self, near: OrchestratorTransport, has_near: Callable[[str], bool]) -> None:
        self._near = near
        self._has_near = has_near
        self._far: OrchestratorTransport | None = None
        self._handlers: tuple[ControlHandler, ComputeMessageHandler] | None = None

    @property
    def state(self) -> LinkState:
        """State of the link to far nodes; of the one to near nodes while the orchestrator has no other."""
        return (self._far or self._near).state

    @property
    def far(self) -> OrchestratorTransport | None:
        """The way to far nodes; None while the orchestrator is not open to them."""
        return self._far

    def way_to(self, node_id: str) -> Way:
        if self._has_near(node_id):
            return self._near.way_to(node_id)
        return self._far.way_to(node_id) if self._far is not None else Way("nats")

    async def open(self, far: OrchestratorTransport) -> None:
        """Answer far nodes, too, from now on; raises Conflict where that is so already."""
        if self._far is not None:
            raise Conflict(f"the orchestrator is already open to other nodes at {self._far.state.place}")
        # Before nodes are answered: the answer to a handshake is followed by messages to that node.
        self._far = far
        if self._handlers is not None:
            try:
                await self._serve_far(far)
            except BaseException:
                self._far = None
                raise

    async def shut(self) -> None:
        """Stop answering far nodes; near ones notice nothing."""
        far, self._far = self._far, None
        if far is not None:
            await far.close()

    async def serve(self, control: ControlHandler, messages: ComputeMessageHandler) -> None:
        self._handlers = control, messages
        await self._near.serve(control, messages)
        if self._far is not None:
            await self._serve_far(self._far)

    async def send(self, node_id: str, envelope: Envelope) -> None:
        await self._way_to(node_id).send(node_id, envelope)

    async def cut(self, node_id: str) -> None:
        if self._far is not None and not self._has_near(node_id):
            await self._far.cut(node_id)

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        far = self._far
        return (far if far is not None and not self._has_near(request.node_id) else self._near).logs(request)

    async def close(self) -> None:
        await self.shut()
        await self._near.close()

    def _way_to(self, node_id: str) -> OrchestratorTransport:
        if self._has_near(node_id):
            return self._near
        if self._far is None:
            raise DeliveryError(
                f"node {node_id} is on another machine, and the orchestrator is not open to other nodes",
                component="Transport",
                retryable=True,
            )
        return self._far

    async def _serve_far(self, far: OrchestratorTransport) -> None:
        assert self._handlers is not None
        control, messages = self._handlers

        async def far_control(node_id: str, request: ControlRequest) -> ControlResponse:
            self._refuse_near(node_id)
            return await control(node_id, request)

        async def far_message(node_id: str, envelope: Envelope) -> None:
            self._refuse_near(node_id)
            await messages(node_id, envelope)

        await far.serve(far_control, far_message)

    def _refuse_near(self, node_id: str) -> None:
        if self._has_near(node_id):
            raise Conflict(
                f"node ID {node_id} belongs to the orchestrator's own machine",
                hint="give the node another name",
                component="Transport",
            )

"""Requests of nodes: handshakes, heartbeats, new descriptions, goodbyes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from bacalhau_jupyter.models.errors import BacalhauError, HandshakeRequired
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import (
    ConnectionState,
    Membership,
    NodeConnection,
    NodeType,
)
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    PreSignURLRequest,
    ShutdownNoticeRequest,
    ShutdownNoticeResponse,
    UpdateNodeInfoRequest,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.orchestrator.membership.keeping import Members
from bacalhau_jupyter.orchestrator.membership.members import Member, disconnected, joined, same_node
from bacalhau_jupyter.orchestrator.peers.absence import store_notes
from bacalhau_jupyter.orchestrator.peers.admission import Admission
from bacalhau_jupyter.orchestrator.peers.described import is_ours, started_ns
from bacalhau_jupyter.orchestrator.peers.notices import clock_sentence
from bacalhau_jupyter.orchestrator.store import nodes as rows
from bacalhau_jupyter.orchestrator.uploads import Uploads
from bacalhau_jupyter.transport.base import Way

_log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""An official node that was started again takes up the services that it ran before. One that is cancelled before it has
done so runs on, and nothing ends it any more (v1.9.3)."""


class Nodes:
    """Answers the nodes of this orchestrator.

    Parameters
    ----------
    members
        The nodes.
    uploads
        Answers nodes that ask where to upload results.
    way_to
        How messages get to a node.
    """

    def __init__(
        self, members: Members, uploads: Uploads, way_to: Callable[[str], Way] = lambda node_id: Way()
    ) -> None:
        self._members = members
        self._uploads = uploads
        self._way_to = way_to
        self._admission = Admission(way_to, members.clock)
        self._register = members.register
        self._dispatcher = members.dispatcher
        self._listener = members.listener

    # ---- life

    async def load(self) -> None:
        """Load known nodes; each has the disconnect time-out to come back before its executions are given up."""
        deadline = self._members.deadline()
        for state in await self._members.store.read(rows.every):
            away = (
                disconnected(state, self._members.clock.now_ns(), "")
                if state.connection is NodeConnection.CONNECTED
                else state
            )
            node_id = state.info.node_id
            self._register.members[node_id] = Member(away, deadline, way=self._way_to(node_id))
        self._register.outdated()

    async def save(self) -> None:
        """Store all as they are; connected nodes stay what they are, for the next start."""
        for member in list(self._register.members.values()):
            with contextlib.suppress(BacalhauError):
                await self._members.put(member)

    # ---- requests

    async def control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        """Answer a control request.

        Raises
        ------
        BacalhauError
            `HandshakeRequired` for a node that is not connected, `BadRequest` for nonsense.
        """
        match request:
            case HandshakeRequest():
                return await self._handshake(same_node(node_id, request.node_info.node_id), request)
            case HeartbeatRequest():
                return self._heartbeat(same_node(node_id, request.node_id), request)
            case UpdateNodeInfoRequest():
                return await self._update(same_node(node_id, request.node_info.node_id), request)
            case ShutdownNoticeRequest():
                return await self._goodbye(same_node(node_id, request.node_id))
            case PreSignURLRequest():
                is_here = self._way_to(node_id).is_here
                return await self._uploads.answer(node_id, request, is_here=is_here)

    def processed(self, node_id: str, seq: int, clock_ns: int = 0) -> None:
        """Remember the last message of a node that has been stored, and how wrong its times were (nanoseconds)."""
        member = self._register.members.get(node_id)
        if member is not None:
            member.processed(seq)
            if clock_ns and not member.clock_ns:
                _log.warning("node %s: %s", node_id, clock_sentence(clock_ns))
            member.clock_ns = clock_ns or member.clock_ns

    async def cut(self, reason: str) -> None:
        """Note that no node of another process can be heard any more; each has the time-out to come back."""
        for node_id, member in list(self._register.members.items()):
            if member.connected and member.way.is_far:
                await self._members.leave(node_id, member, reason)

    async def _handshake(self, node_id: str, request: HandshakeRequest) -> HandshakeResponse:
        self._admission.keep_pace(node_id)
        if request.node_info.node_type is not NodeType.COMPUTE:
            return HandshakeResponse(accepted=False, reason="node is not a compute node")
        member = self._register.members.get(node_id)
        if member is not None and member.state.membership is Membership.REJECTED:
            return HandshakeResponse(accepted=False, reason="node has been rejected")
        started_before_ns = member.instance.started_ns if member is not None else 0
        refusal = self._admission.refusal(node_id, request, member, len(self._register.members))
        if refusal:
            return HandshakeResponse(accepted=False, reason=refusal)
        is_known = member is not None
        settings = self._members.settings
        # Whoever started this process has approved the compute half in it.
        is_stranger = settings.manual_approval and node_id != settings.node_id
        membership = Membership.PENDING if is_stranger else Membership.APPROVED
        before = member.state.connection_state if member is not None else ConnectionState()
        if member is not None:
            membership = member.state.membership
        is_restarted = 0 != started_before_ns != started_ns(request.start_time)
        settle_s = SETTLE_S if is_restarted and not is_ours(request.node_info) else 0.0
        start = self._dispatcher.connect(node_id, settle_s)
        now = self._members.clock.now_ns()
        member = self._register.members[node_id] = Member(
            joined(request.node_info, membership, before, now, start),
            self._members.deadline(),
            since_ns=now,
            back_ns=member.back_ns if member is not None else 0,
            way=self._way_to(node_id),
            clock_ns=member.clock_ns if member is not None else 0,
            instance=member.instance if member is not None else self._admission.instance(request),
        )
        self._members.move()
        await self._members.put(member)
        self._listener.changed(node_id, "connected")
        if membership is Membership.APPROVED:
            self._listener.joined()
        return HandshakeResponse(
            accepted=True,
            reason="node reconnected" if is_known else "node registered",
            last_compute_seq_num=before.last_compute_seq_num,
            last_orchestrator_seq_num=start,
        )

    def _heartbeat(self, node_id: str, request: HeartbeatRequest) -> HeartbeatResponse:
        member = self._connected(node_id)
        if not member.instance.proves():
            raise _handshake_required(node_id)
        self._admission.check_heartbeat(request)
        now = self._members.clock.now_ns()
        before = member.free
        more = member.heard(request, now)
        if member.free != before:
            self._listener.changed(node_id, "capacity changed")
        member.deadline_ns = self._members.deadline()
        self._dispatcher.connect(node_id)
        if more:
            member.freed_ns = now
            self._register.outdated()
            self._listener.freed()
        return HeartbeatResponse(last_compute_seq_num=member.state.connection_state.last_compute_seq_num)

    async def _update(self, node_id: str, request: UpdateNodeInfoRequest) -> UpdateNodeInfoResponse:
        info = request.node_info
        self._admission.keep_pace(node_id)
        member = self._connected(node_id)
        if member.state.membership is Membership.REJECTED:
            return UpdateNodeInfoResponse(accepted=False, reason="node registration rejected")
        if problem := self._admission.description_problem(node_id, info):
            return UpdateNodeInfoResponse(accepted=False, reason=problem)
        if member.state.info.compute_node_info.away and not info.compute_node_info.away:
            member.back_ns = self._members.clock.now_ns()
        member.state = replace(member.state, info=info)
        self._register.outdated()
        await self._members.put(member)
        if request.execution_notes:
            await self._members.store.transact(
                lambda transaction: store_notes(transaction, node_id, request.execution_notes)
            )
        self._listener.changed(node_id, "sent a new description")
        self._listener.joined()
        return UpdateNodeInfoResponse(accepted=True)

    async def _goodbye(self, node_id: str) -> ShutdownNoticeResponse:
        member = self._connected(node_id)
        await self._members.leave(node_id, member, "graceful shutdown")
        return ShutdownNoticeResponse(last_compute_seq_num=member.state.connection_state.last_compute_seq_num)

    def _connected(self, node_id: str) -> Member:
        member = self._register.members.get(node_id)
        if member is None or not member.connected:
            raise _handshake_required(node_id)
        return member


def _handshake_required(node_id: str) -> HandshakeRequired:
    return HandshakeRequired(
        f"node {node_id} not connected - handshake required", retryable=True, component="ConnectionManager"
    )

"""Which nodes belong to the cluster and are connected: handshakes, heartbeats, goodbyes, approval, silence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    BadRequest,
    Conflict,
    HandshakeRequired,
)
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import (
    ConnectionState,
    Membership,
    NodeConnection,
    NodeInfo,
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
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.members import Member, disconnected, joined, same_node
from bacalhau_jupyter.orchestrator.peers.admission import Admission
from bacalhau_jupyter.orchestrator.peers.notices import clock_sentence
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import nodes as rows
from bacalhau_jupyter.orchestrator.store import outbox
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Transaction
from bacalhau_jupyter.orchestrator.uploads import Uploads
from bacalhau_jupyter.transport.base import Way

_log = logging.getLogger(__name__)

STALL_S = 5.0
"""Seconds after a deadline at which it can only be noticed when this process itself stood still."""


async def _cut_nobody(node_id: str) -> None:
    """There is no connection that could be ended."""


@dataclass(frozen=True)
class NodeListener:
    """What the orchestrator's other parts hear of its nodes.

    Attributes
    ----------
    joined
        Called when a node may take jobs now.
    freed
        Called when a node told of capacity that became free.
    gone
        Called with the ID of a node whose executions are to be given up.
    changed
        Called with the ID of a node and what is new about it, for people.
    """

    joined: Callable[[], None]
    freed: Callable[[], None]
    gone: Callable[[str], None]
    changed: Callable[[str, str], None]


class Nodes:
    """Answers the nodes of this orchestrator, and watches over them.

    Parameters
    ----------
    store, dispatcher
        Where nodes are kept, and what sends to them.
    register
        Gets the nodes as they are now.
    clock
        Monotonic time decides who is silent for too long.
    settings
        Approval and time-outs.
    uploads
        Answers nodes that ask where to upload results.
    listener
        Hears what changes with the nodes.
    problems
        List of failed background tasks.
    way_to
        How messages get to a node.
    cut
        Ends the connections of a node.
    """

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        register: Register,
        *,
        clock: Clock,
        settings: OrchestratorSettings,
        uploads: Uploads,
        listener: NodeListener,
        problems: Problems | None = None,
        way_to: Callable[[str], Way] = lambda node_id: Way(),
        cut: Callable[[str], Awaitable[None]] = _cut_nobody,
    ) -> None:
        self._cut = cut
        self._problems = problems or Problems()
        self._way_to = way_to
        self._admission = Admission(way_to, clock)
        self._store = store
        self._dispatcher = dispatcher
        self._register = register
        self._clock = clock
        self._settings = settings
        self._listener = listener
        self._uploads = uploads
        self._timer: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    # ---- life

    async def start(self) -> None:
        """Load known nodes; each has the disconnect time-out to come back before its executions are given up."""
        deadline = self._deadline()
        for state in await self._store.read(rows.every):
            away = (
                disconnected(state, self._clock.now_ns(), "")
                if state.connection is NodeConnection.CONNECTED
                else state
            )
            node_id = state.info.node_id
            self._register.members[node_id] = Member(away, deadline, way=self._way_to(node_id))
        self._register.outdated()
        self._timer = asyncio.create_task(
            self._problems.keep("looking for silent nodes", self._watch), name="node time-outs"
        )

    async def stop(self) -> None:
        """Stop watching; connected nodes stay what they are, for the next start."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait([self._timer])
        for member in list(self._register.members.values()):
            with contextlib.suppress(BacalhauError):
                await self._put(member)

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._changed.set()

    # ---- requests of nodes

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
                return await self._update(same_node(node_id, request.node_info.node_id), request.node_info)
            case ShutdownNoticeRequest():
                return await self._goodbye(same_node(node_id, request.node_id), request)
            case PreSignURLRequest():
                return await self._uploads.answer(node_id, request)

    def processed(self, node_id: str, seq: int, clock_ns: int = 0) -> None:
        """Remember the last message of a node that has been stored, and how wrong its times were (nanoseconds)."""
        member = self._register.members.get(node_id)
        if member is not None:
            member.processed(seq)
            if clock_ns and not member.clock_ns:
                _log.warning("node %s: %s", node_id, clock_sentence(clock_ns))
            member.clock_ns = clock_ns or member.clock_ns

    async def _handshake(self, node_id: str, request: HandshakeRequest) -> HandshakeResponse:
        self._admission.keep_pace(node_id)
        if request.node_info.node_type is not NodeType.COMPUTE:
            return HandshakeResponse(accepted=False, reason="node is not a compute node")
        member = self._register.members.get(node_id)
        if member is not None and member.state.membership is Membership.REJECTED:
            return HandshakeResponse(accepted=False, reason="node has been rejected")
        refusal = self._admission.refusal(node_id, request, member, len(self._register.members))
        if refusal:
            return HandshakeResponse(accepted=False, reason=refusal)
        is_known = member is not None
        # Whoever started this process has approved the compute half in it.
        is_stranger = self._settings.manual_approval and node_id != self._settings.node_id
        membership = Membership.PENDING if is_stranger else Membership.APPROVED
        before = member.state.connection_state if member is not None else ConnectionState()
        if member is not None:
            membership = member.state.membership
        start = self._dispatcher.connect(node_id)
        now = self._clock.now_ns()
        member = self._register.members[node_id] = Member(
            joined(request.node_info, membership, before, now, start),
            self._deadline(),
            since_ns=now,
            way=self._way_to(node_id),
            clock_ns=member.clock_ns if member is not None else 0,
            instance=member.instance if member is not None else self._admission.instance(request),
        )
        self._moved()
        await self._put(member)
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
        now = self._clock.now_ns()
        before = member.free
        more = member.heard(request, now)
        if member.free != before:
            self._listener.changed(node_id, "capacity changed")
        member.deadline_ns = self._deadline()
        self._dispatcher.connect(node_id)
        if more:
            member.freed_ns = now
            self._register.outdated()
            self._listener.freed()
        return HeartbeatResponse(last_compute_seq_num=member.state.connection_state.last_compute_seq_num)

    async def _update(self, node_id: str, info: NodeInfo) -> UpdateNodeInfoResponse:
        self._admission.keep_pace(node_id)
        member = self._connected(node_id)
        if member.state.membership is Membership.REJECTED:
            return UpdateNodeInfoResponse(accepted=False, reason="node registration rejected")
        if problem := self._admission.description_problem(node_id, info):
            return UpdateNodeInfoResponse(accepted=False, reason=problem)
        member.state = replace(member.state, info=info)
        self._register.outdated()
        await self._put(member)
        self._listener.changed(node_id, "sent a new description")
        self._listener.joined()
        return UpdateNodeInfoResponse(accepted=True)

    async def _goodbye(self, node_id: str, request: ShutdownNoticeRequest) -> ShutdownNoticeResponse:
        member = self._connected(node_id)
        await self._left(node_id, member, "graceful shutdown")
        return ShutdownNoticeResponse(last_compute_seq_num=member.state.connection_state.last_compute_seq_num)

    async def cut(self, reason: str) -> None:
        """Note that no node of another process can be heard any more; each has the time-out to come back."""
        for node_id, member in list(self._register.members.items()):
            if member.connected and member.way.is_far:
                await self._left(node_id, member, reason)

    async def _left(self, node_id: str, member: Member, reason: str) -> None:
        member.state = disconnected(member.state, self._clock.now_ns(), reason)
        # It may be back in a moment (a restart), so its executions are not given up yet.
        member.deadline_ns = self._deadline()
        self._dispatcher.disconnect(node_id)
        self._moved()
        await self._put(member)
        self._listener.changed(node_id, "left")

    def _connected(self, node_id: str) -> Member:
        member = self._register.members.get(node_id)
        if member is None or not member.connected:
            raise _handshake_required(node_id)
        return member

    # ---- requests of people

    async def change(self, reference: str, action: str, message: str) -> None:
        """Approve, reject or delete a node.

        Raises
        ------
        BacalhauError
            No such node or action, or the node is in that state already.
        """
        if action == "delete" and await self._forget_secret(reference):
            return
        node_id = self._register.full_id(reference)
        if action == "delete":
            await self._delete(node_id)
            return
        membership = {"approve": Membership.APPROVED, "reject": Membership.REJECTED}.get(action)
        if membership is None:
            raise BadRequest(f"unknown node action: {action!r}", hint="Use approve, reject or delete.")
        member = self._register.members[node_id]
        if member.state.membership is membership:
            words = "approved" if membership is Membership.APPROVED else "rejected"
            raise Conflict(f"node {node_id} already {words}", code="ConflictNodeState")
        member.state = replace(member.state, membership=membership)
        if membership is Membership.REJECTED and message:
            new_connection = replace(member.state.connection_state, last_error=message)
            member.state = replace(member.state, connection_state=new_connection)
        self._moved()
        await self._put(member)
        self._listener.changed(node_id, membership.value.lower())
        if membership is Membership.APPROVED:
            self._listener.joined()
        else:
            self._listener.gone(node_id)

    async def _forget_secret(self, node_id: str) -> bool:
        """Free an ID that somebody enrolled and never used; False for the ID of a node, which is deleted as a whole."""
        if node_id in self._register:
            return False
        is_enrolled = await self._store.transact(
            lambda transaction: rows.free(transaction.connection, node_id)
        )
        if is_enrolled:
            await self._cut(node_id)
        return is_enrolled

    async def _delete(self, node_id: str) -> None:
        def delete(transaction: Transaction) -> None:
            rows.delete(transaction.connection, node_id)
            outbox.remove_node(transaction.connection, node_id)

        del self._register.members[node_id]
        self._dispatcher.forget_node(node_id)
        self._moved()
        await self._store.transact(delete)
        # Whoever is connected under this ID would go on as if nothing had happened.
        await self._cut(node_id)
        self._listener.changed(node_id, "deleted")
        self._listener.gone(node_id)

    # ---- silence

    async def _watch(self) -> None:
        """Sleep until the earliest deadline; no polling."""
        while True:
            self._changed.clear()
            deadlines = [m.deadline_ns for m in self._register.members.values() if not m.lost]
            now = self._clock.monotonic_ns()
            wait_s = None if not deadlines else max(0.0, (min(deadlines) - now) / SECOND)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            if deadlines and self._clock.monotonic_ns() - min(deadlines) > STALL_S * SECOND:
                self._forgive()
            for node_id, member in list(self._register.members.items()):
                if not member.lost and member.deadline_ns <= self._clock.monotonic_ns():
                    await self._silent(node_id, member)

    def _forgive(self) -> None:
        """It was us who did not listen (a stopped process): everybody gets the time to be heard."""
        _log.warning("this process was suspended; nodes get time to send a heartbeat")
        for member in self._register.members.values():
            if not member.lost:
                member.deadline_ns = max(member.deadline_ns, self._deadline())

    async def _silent(self, node_id: str, member: Member) -> None:
        member.lost = True
        if member.connected:
            _log.warning("node %s sent no heartbeat for %g s", node_id, self._settings.disconnect_timeout_s)
            member.state = disconnected(member.state, self._clock.now_ns(), "heartbeat missed")
            self._dispatcher.disconnect(node_id)
        self._register.moved()
        try:
            await self._put(member)
        except BacalhauError as error:
            _log.warning("the state of node %s can't be stored: %s", node_id, error)
        self._listener.changed(node_id, "no heartbeat any more")
        self._listener.gone(node_id)

    def _deadline(self) -> int:
        # A computer that slept, or whose clock was set, has not missed any heartbeat.
        return self._clock.monotonic_ns() + int(self._settings.disconnect_timeout_s * SECOND)

    def _moved(self) -> None:
        self._register.moved()
        self._changed.set()

    async def _put(self, member: Member) -> None:
        state = member.state
        await self._store.transact(lambda transaction: rows.put(transaction.connection, state))


def _handshake_required(node_id: str) -> HandshakeRequired:
    return HandshakeRequired(
        f"node {node_id} not connected - handshake required", retryable=True, component="ConnectionManager"
    )

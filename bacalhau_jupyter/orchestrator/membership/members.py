"""One node as the orchestrator keeps it, and how it changes: plain data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_jupyter.lib.times import ZERO_TIME, rfc3339
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import (
    ConnectionState,
    Membership,
    NodeConnection,
    NodeInfo,
    NodeState,
)
from bacalhau_jupyter.models.wire.messages import HeartbeatRequest
from bacalhau_jupyter.orchestrator.peers.rivals import Instance
from bacalhau_jupyter.transport.base import Way


@dataclass
class Member:
    """A node.

    Parameters
    ----------
    state
        Its description.
    deadline_ns
        Until when (monotonic nanoseconds) it may be silent before it is disconnected or (if it is already) given up.
    lost
        Whether it has been given up.
    freed_ns
        When (Unix nanoseconds) it last told of capacity that became free.
    since_ns
        When (Unix nanoseconds) it last connected.
    back_ns
        When (Unix nanoseconds) its machine last answered again after it had been away, or this one woke.
    clock_ns
        By how much (nanoseconds) its clock is ahead, at least; negative: behind.
    instance
        Which process it is.
    way
        How messages get there, as it was at its handshake.
    """

    state: NodeState
    deadline_ns: int
    lost: bool = False
    freed_ns: int = 0
    since_ns: int = 0
    back_ns: int = 0
    clock_ns: int = 0
    instance: Instance = field(default_factory=Instance)
    way: Way = field(default_factory=Way)

    @property
    def connected(self) -> bool:
        """Whether its heartbeats arrive."""
        return self.state.connection is NodeConnection.CONNECTED

    @property
    def free(self) -> tuple[float, int, int]:
        """CPU, memory and GPUs that it reported as free. Disk moves all the time by itself, so it does not count."""
        capacity = self.state.info.compute_node_info.available_capacity
        return capacity.cpu, capacity.memory, capacity.gpu

    def heard(self, request: HeartbeatRequest, now_ns: int) -> bool:
        """Take over a heartbeat; return whether more is free than at the one before.

        Heartbeats are not stored: a restart asks every node for a handshake anyway.
        """
        info, new_state = self.state.info, self.state.connection_state
        before, now = info.compute_node_info.available_capacity, request.available_capacity
        compute = replace(
            info.compute_node_info, available_capacity=now, queue_capacity=request.queue_used_capacity
        )
        new_state = replace(
            new_state,
            last_heartbeat=rfc3339(now_ns),
            last_orchestrator_seq_num=max(
                new_state.last_orchestrator_seq_num, request.last_orchestrator_seq_num
            ),
        )
        self.state = replace(
            self.state, info=replace(info, compute_node_info=compute), connection_state=new_state
        )
        # Free disk moves all the time by itself, so it does not count as news.
        return now.cpu > before.cpu or now.memory > before.memory or now.gpu > before.gpu

    def processed(self, seq: int) -> None:
        """Remember the last of its messages that has been stored."""
        connection = self.state.connection_state
        if seq > connection.last_compute_seq_num:
            self.state = replace(self.state, connection_state=replace(connection, last_compute_seq_num=seq))


def joined(
    info: NodeInfo, membership: Membership, before: ConnectionState, now_ns: int, start: int
) -> NodeState:
    """Return a node after its handshake; messages to it begin after ``start``."""
    now = rfc3339(now_ns)
    new_state = replace(
        before,
        status=NodeConnection.CONNECTED,
        last_heartbeat=now,
        connected_since=now,
        disconnected_since=ZERO_TIME,
        last_error="",
        last_orchestrator_seq_num=start,
    )
    return NodeState(
        info=info, membership=membership, connection=NodeConnection.CONNECTED, connection_state=new_state
    )


def disconnected(state: NodeState, now_ns: int, error: str) -> NodeState:
    """Return a node that is not heard any more, and why."""
    new_state = replace(
        state.connection_state,
        status=NodeConnection.DISCONNECTED,
        disconnected_since=rfc3339(now_ns),
        last_error=error,
    )
    return replace(state, connection=NodeConnection.DISCONNECTED, connection_state=new_state)


def same_node(carrier: str, claimed_id: str) -> str:
    """Return the node's ID; who the message says it is must be who the carrier says it is.

    Raises
    ------
    BadRequest
        They differ, or the message names no node.
    """
    if not claimed_id or (carrier and carrier != claimed_id):
        raise BadRequest(
            f"node {carrier!r} sent a message in the name of node {claimed_id!r}",
            component="ConnectionManager",
        )
    return claimed_id

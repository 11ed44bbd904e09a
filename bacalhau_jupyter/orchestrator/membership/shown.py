"""The nodes of a cluster as people read them: those that joined, and the process that places the jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bacalhau_jupyter.models.records.node import ConnectionState, Membership, NodeInfo, NodeState
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.orchestrator.membership.members import joined
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.queries import list_nodes


class ShownNodes:
    """Lists and finds nodes.

    Parameters
    ----------
    register
        The nodes that joined.
    own_info
        Describes this process where no compute half does; like official ones, it is in the list of nodes.
    started_ns
        Since when it runs, Unix nanoseconds.
    """

    def __init__(self, register: Register, own_info: Callable[[], NodeInfo] | None, started_ns: int) -> None:
        self._register = register
        self._own_info = own_info
        self._started_ns = started_ns

    def list(self, query: NodeQuery) -> Sequence[NodeState]:
        """Return known nodes."""
        return list_nodes([*self._register.states(), *self._own_state()], query)

    def get(self, node_id: str) -> NodeState:
        """Return a node by ID or unique prefix."""
        own = next((state for state in self._own_state() if state.info.node_id == node_id), None)
        return self._register.resolve(node_id) if own is None else own

    def _own_state(self) -> Sequence[NodeState]:
        if self._own_info is None:
            return ()
        own = joined(self._own_info(), Membership.APPROVED, ConnectionState(), self._started_ns, 0)
        return () if own.info.node_id in self._register else (own,)

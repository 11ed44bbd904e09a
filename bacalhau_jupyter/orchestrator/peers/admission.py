"""Whether a node that asks is answered: how often, with which description, and as which process."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, ResourceExhausted
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.wire.messages import HandshakeRequest, HeartbeatRequest
from bacalhau_jupyter.orchestrator.membership.members import Member
from bacalhau_jupyter.orchestrator.peers.described import (
    problem_of,
    resources_problem,
    started_ns,
)
from bacalhau_jupyter.orchestrator.peers.pace import Pace
from bacalhau_jupyter.orchestrator.peers.rivals import Instance
from bacalhau_jupyter.transport import node_ids
from bacalhau_jupyter.transport.base import Way

_log = logging.getLogger(__name__)

COMPONENT = "NodesManager"
NODES_LIMIT = 20_000
"""Most nodes of one orchestrator."""


class Admission:
    """Checks requests of nodes. A node of this process is believed; it is as trusted as the orchestrator itself.

    Parameters
    ----------
    way_to
        How messages get to a node.
    clock
        Monotonic time decides how often a node may ask.
    """

    def __init__(self, way_to: Callable[[str], Way], clock: Clock) -> None:
        self._way_to = way_to
        self._clock = clock
        self._pace = Pace()

    def keep_pace(self, node_id: str) -> None:
        """Count a request that changes what is stored.

        Raises
        ------
        ResourceExhausted
            The node asks too often.
        """
        if not self._way_to(node_id).is_far:
            return
        if not self._pace.allows(node_id, self._clock.monotonic_ns()):
            raise ResourceExhausted(
                f"node {readable(node_id[:200])} sends handshakes or descriptions too often",
                code="TooManyRequests",
                component=COMPONENT,
                retryable=True,
            )

    def refusal(self, node_id: str, request: HandshakeRequest, member: Member | None, count: int) -> str:
        """Say why a node may not join; empty if it may.

        Parameters
        ----------
        member
            The node as it is known; its process is that of the request from here on.
        count
            How many nodes are known.
        """
        if not self._way_to(node_id).is_far:
            return ""
        problem = node_ids.problem_of(node_id) or self.description_problem(node_id, request.node_info)
        if not problem and member is None and count >= NODES_LIMIT:
            problem = f"this orchestrator has {count:,} nodes already; delete some of them"
        if not problem and member is not None and not self._admits(member, request):
            problem = member.instance.sentence(self._clock.monotonic_ns())
        if problem:
            _log.warning("node %s may not join: %s", readable(node_id[:200]), problem)
        return problem

    def description_problem(self, node_id: str, info: NodeInfo) -> str:
        """Say why a node's new description can't be taken; empty if it can."""
        return problem_of(info) if self._way_to(node_id).is_far else ""

    def check_heartbeat(self, request: HeartbeatRequest) -> None:
        """Check the amounts of a heartbeat.

        Raises
        ------
        BadRequest
            They can't be.
        """
        problem = resources_problem("free capacity", request.available_capacity) or resources_problem(
            "queue", request.queue_used_capacity
        )
        if problem:
            raise BadRequest(problem, component=COMPONENT)

    def instance(self, request: HandshakeRequest) -> Instance:
        """Return the process of a node that is new."""
        return Instance(started_ns(request.start_time))

    def _admits(self, member: Member, request: HandshakeRequest) -> bool:
        return member.instance.admits(
            started_ns(request.start_time),
            self._clock.monotonic_ns(),
            is_heard=member.connected,
            is_far=True,
        )

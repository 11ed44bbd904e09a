"""The nodes that an orchestrator knows, as schedulers and people read them."""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import Membership, NodeState
from bacalhau_jupyter.orchestrator.membership.members import Member
from bacalhau_jupyter.orchestrator.peers.described import is_ours, too_old
from bacalhau_jupyter.orchestrator.peers.notices import clock_sentence, namesake_sentence, namesakes
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView

SLEPT_S = 10.0
"""Seconds by which wall time must be ahead of monotonic time, more than before, where this machine has slept."""


class Register:
    """Nodes by ID. Whoever changes one says so: `outdated` where schedulers see it, `moved` where one came or went.

    Parameters
    ----------
    clock
        Monotonic time decides how long a notice is shown, and stands still where the machine sleeps.

    Attributes
    ----------
    members
        Node ID → node.
    generation
        Changes whenever a node comes, goes, or is approved or rejected.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ns = self._wall_ahead_ns()
        self._views: list[NodeView] | None = None
        self._capacity: tuple[list[NodeView], dict[str, Resources]] | None = None
        self.members: dict[str, Member] = {}
        self.generation = 0

    def outdated(self) -> None:
        """Make the views anew when they are asked for."""
        self._views = None

    def moved(self) -> None:
        """Say that a node came, went, or is one that gets jobs now, or does not any more."""
        self._views = None
        self.generation += 1

    def woke(self) -> None:
        """Say that this machine stood still: what happened on others meanwhile is yet to be told."""
        now_ns = self._clock.now_ns()
        for member in self.members.values():
            member.back_ns = now_ns
        self.outdated()

    def _wall_ahead_ns(self) -> int:
        return self._clock.now_ns() - self._clock.monotonic_ns()

    def __contains__(self, node_id: str) -> bool:
        """Whether a node of this ID ever joined."""
        return node_id in self.members

    def views(self) -> list[NodeView]:
        """Return the nodes as schedulers see them."""
        before_ns, self._ahead_ns = self._ahead_ns, self._wall_ahead_ns()
        if self._ahead_ns - before_ns > SLEPT_S * SECOND:
            # Whoever looks first after a sleep must not take the silence of that time for news.
            self.woke()
        if self._views is None:
            self._views = [
                NodeView(
                    info=member.state.info,
                    ready=member.connected and member.state.membership is Membership.APPROVED,
                    lost=member.lost,
                    rejected=member.state.membership is Membership.REJECTED,
                    pending=member.state.membership is Membership.PENDING,
                    freed_ns=member.freed_ns,
                    since_ns=member.since_ns,
                    back_ns=member.back_ns,
                    way=member.way,
                )
                for member in self.members.values()
            ]
        return self._views

    def capacity(self) -> dict[str, Resources]:
        """Return what each node that takes jobs has in all."""
        views = self.views()
        # Asked for at each end of an execution; with some thousand nodes it must not be made anew each time.
        if self._capacity is None or self._capacity[0] is not views:
            ready = {view.id: view.info.compute_node_info.max_capacity for view in views if view.ready}
            self._capacity = views, ready
        return self._capacity[1]

    def states(self) -> list[NodeState]:
        """Return every node by ID."""
        names = namesakes(member.state for member in self.members.values())
        return [self._shown(self.members[node_id], names) for node_id in sorted(self.members)]

    def _shown(self, member: Member, names: Mapping[str, list[str]]) -> NodeState:
        """Return a node with what the operator should know about it, and the way to it."""
        sentences = [
            member.instance.sentence(self._clock.monotonic_ns()),
            too_old(member.state.info),
            clock_sentence(member.clock_ns),
            namesake_sentence(member.state, names),
        ]
        notices = [sentence for sentence in sentences if sentence]
        return replace(member.state, notices=notices, link=member.way.kind)

    def is_stock(self, node_id: str) -> bool:
        """Whether a node is an official one, for all that is known."""
        member = self.members.get(node_id)
        return member is None or not is_ours(member.state.info)

    def is_connected(self, node_id: str) -> bool:
        """Whether the node is heard now."""
        member = self.members.get(node_id)
        return member is not None and member.connected

    def resolve(self, reference: str) -> NodeState:
        """Return a node by ID, short form or unique prefix.

        Raises
        ------
        NotFound, Conflict
            There is none, or there are several.
        """
        member = self.members[self.full_id(reference)]
        return self._shown(member, namesakes(each.state for each in self.members.values()))

    def full_id(self, reference: str) -> str:
        """Return the ID of a node by ID, short form or unique prefix; raises as `resolve`.

        The short form comes before the prefix: the nodes of Docker hosts begin with the ID of their own node.
        """
        if reference in self.members:
            return reference
        known = sorted(self.members) if reference else []
        matches = [each for each in known if short_id(each) == reference] or [
            each for each in known if each.startswith(reference)
        ]
        if not matches:
            raise NotFound(f"node not found: {reference}")
        if len(matches) > 1:
            raise Conflict(
                f"multiple nodes found for prefix: {reference}, matching IDs: [{' '.join(matches)}]",
                hint="Use a more specific node ID prefix",
                code="MultipleNodesFound",
            )
        return matches[0]

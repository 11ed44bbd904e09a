"""What each part of the membership does with a node: store it, set its deadline, and tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.membership.members import Member, disconnected
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import nodes as rows
from bacalhau_jupyter.orchestrator.store.store import Store


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


class Members:
    """The nodes of this orchestrator, as all parts of the membership change them.

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
    listener
        Hears what changes with the nodes.

    Attributes
    ----------
    moved
        Set when a node came or went, so that there may be another deadline.
    """

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        register: Register,
        *,
        clock: Clock,
        settings: OrchestratorSettings,
        listener: NodeListener,
    ) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.register = register
        self.clock = clock
        self.settings = settings
        self.listener = listener
        self.moved = asyncio.Event()

    def deadline(self) -> int:
        """Return until when (monotonic nanoseconds) a node that was heard now may be silent.

        A computer that slept, or whose clock was set, has not missed any heartbeat.
        """
        return self.clock.monotonic_ns() + int(self.settings.disconnect_timeout_s * SECOND)

    def move(self) -> None:
        """Say that a node came or went, or may take jobs now or no more."""
        self.register.moved()
        self.moved.set()

    async def put(self, member: Member) -> None:
        """Store a node as it is now."""
        state = member.state
        await self.store.transact(lambda transaction: rows.put(transaction.connection, state))

    async def leave(self, node_id: str, member: Member, reason: str) -> None:
        """Note that a node is not connected any more; it may be back in a moment, so it keeps its executions."""
        member.state = disconnected(member.state, self.clock.now_ns(), reason)
        member.deadline_ns = self.deadline()
        self.dispatcher.disconnect(node_id)
        self.move()
        await self.put(member)
        self.listener.changed(node_id, "left")

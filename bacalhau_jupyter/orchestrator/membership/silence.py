"""Nodes that are not heard for too long: their executions are given up."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.orchestrator.membership.keeping import Members
from bacalhau_jupyter.orchestrator.membership.members import Member, disconnected

_log = logging.getLogger(__name__)

STALL_S = 5.0
"""Seconds after a deadline at which it can only be noticed when this process itself stood still."""


class SilenceWatch:
    """Sleeps until the earliest deadline of a node, and gives up who has passed it.

    Parameters
    ----------
    members
        The nodes.
    problems
        List of failed background tasks.
    """

    def __init__(self, members: Members, problems: Problems) -> None:
        self._members = members
        self._problems = problems
        self._timer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._timer = asyncio.create_task(
            self._problems.keep("looking for silent nodes", self._watch), name="node time-outs"
        )

    async def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait([self._timer])

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._members.moved.set()

    async def _watch(self) -> None:
        members, clock = self._members, self._members.clock
        known = members.register.members
        while True:
            members.moved.clear()
            deadlines = [member.deadline_ns for member in known.values() if not member.lost]
            wait_s = None if not deadlines else max(0.0, (min(deadlines) - clock.monotonic_ns()) / SECOND)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await members.moved.wait()
            if deadlines and clock.monotonic_ns() - min(deadlines) > STALL_S * SECOND:
                self._forgive()
            for node_id, member in list(known.items()):
                is_current = known.get(node_id) is member
                # Another may have been given up meanwhile, and this one back since.
                if is_current and not member.lost and member.deadline_ns <= clock.monotonic_ns():
                    await self._give_up(node_id, member)

    def _forgive(self) -> None:
        """It was us who did not listen (a stopped process): everybody gets the time to be heard."""
        _log.warning("this process was suspended; nodes get time to send a heartbeat")
        for member in self._members.register.members.values():
            if not member.lost:
                member.deadline_ns = max(member.deadline_ns, self._members.deadline())
        self._members.register.woke()

    async def _give_up(self, node_id: str, member: Member) -> None:
        members = self._members
        member.lost = True
        if member.connected:
            limit_s = members.settings.disconnect_timeout_s
            _log.warning("node %s sent no heartbeat for %g s", node_id, limit_s)
            member.state = disconnected(member.state, members.clock.now_ns(), "heartbeat missed")
            members.dispatcher.disconnect(node_id)
        members.register.moved()
        try:
            await members.put(member)
        except BacalhauError as error:
            _log.warning("the state of node %s can't be stored: %s", node_id, error)
        members.listener.changed(node_id, "no heartbeat any more")
        members.listener.gone(node_id)

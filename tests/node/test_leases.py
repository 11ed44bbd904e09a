from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.node.leases import FIRST_LEASE_S, Leases
from tests.clock import ManualClock

WAIT_S = 30.0


async def nothing_runs() -> int:
    return 0


class Node:
    """A node that waits to become superfluous; the test lets its time pass."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.leases = Leases(self.clock, self._pause)
        self._pauses: asyncio.Queue[float] = asyncio.Queue()
        self._next_look = asyncio.Event()

    async def _pause(self, _changed: asyncio.Event, seconds: float) -> None:
        self._pauses.put_nowait(seconds)
        await self._next_look.wait()
        self._next_look.clear()

    def waits(
        self,
        grace_s: float,
        active_jobs: Callable[[], Awaitable[int]] = nothing_runs,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> asyncio.Task[None]:
        return asyncio.create_task(self.leases.until_superfluous(active_jobs, grace_s, first_lease_s))

    async def looks_and_stays(self) -> None:
        """Return once the node has looked at its leases and jobs, and has decided to stay."""
        async with asyncio.timeout(WAIT_S):
            await self._pauses.get()

    def after(self, seconds: float) -> None:
        """Let time pass; the node looks again."""
        self.clock.advance(seconds)
        self._next_look.set()


async def test_an_idle_node_is_superfluous_once_the_last_lease_is_gone() -> None:
    node = Node()
    with node.leases.hold(), node.leases.hold():
        waiting = node.waits(grace_s=0)
        await node.looks_and_stays()
        node.after(3600)
        await node.looks_and_stays()
    node.after(0)
    await asyncio.wait_for(waiting, WAIT_S)


async def test_a_running_job_keeps_the_node() -> None:
    node, running = Node(), 1

    async def active() -> int:
        return running

    with node.leases.hold():
        pass
    waiting = node.waits(grace_s=0, active_jobs=active)
    await node.looks_and_stays()
    node.after(3600)
    await node.looks_and_stays()
    running = 0
    node.after(1)
    await asyncio.wait_for(waiting, WAIT_S)


async def test_the_grace_time_starts_again_with_each_lease() -> None:
    node = Node()
    with node.leases.hold():
        pass
    waiting = node.waits(grace_s=30)
    await node.looks_and_stays()
    node.after(20)
    await node.looks_and_stays()
    with node.leases.hold():
        node.after(20)
        await node.looks_and_stays()
    node.after(0)
    await node.looks_and_stays()
    node.after(29)
    await node.looks_and_stays()
    node.after(1)
    await asyncio.wait_for(waiting, WAIT_S)


async def test_a_fresh_node_waits_for_its_starter() -> None:
    node = Node()
    waiting = node.waits(grace_s=0, first_lease_s=30)
    await node.looks_and_stays()
    node.after(29)
    await node.looks_and_stays()
    node.after(1)
    await asyncio.wait_for(waiting, WAIT_S)


async def test_the_end_of_the_last_lease_is_noticed_at_once() -> None:
    waits = asyncio.Event()

    async def without_limit(changed: asyncio.Event, _seconds: float) -> None:
        waits.set()
        await changed.wait()

    leases = Leases(ManualClock(), without_limit)
    with leases.hold():
        waiting = asyncio.create_task(leases.until_superfluous(nothing_runs, 0))
        await asyncio.wait_for(waits.wait(), WAIT_S)
    await asyncio.wait_for(waiting, WAIT_S)


async def test_a_lease_that_is_taken_while_the_jobs_are_counted_keeps_the_node() -> None:
    node = Node()
    with node.leases.hold():
        pass  # somebody was here before, so the first lease is not waited for
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly() -> int:
        asked.set()
        await answer.wait()
        return 0

    waiting = node.waits(0, slowly)
    await asked.wait()
    with node.leases.hold():
        answer.set()
        await node.looks_and_stays()
        assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_grace_time_starts_again_with_a_lease_that_is_gone_before_it_is_seen() -> None:
    node = Node()
    with node.leases.hold():
        pass
    waiting = node.waits(grace_s=30)
    await node.looks_and_stays()
    with node.leases.hold():
        pass
    node.after(30)
    await node.looks_and_stays()
    node.after(0)
    await node.looks_and_stays()
    node.after(29)
    await node.looks_and_stays()
    node.after(1)
    await asyncio.wait_for(waiting, WAIT_S)

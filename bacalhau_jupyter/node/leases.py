"""How long an embedded node lives: while a lease is held or a job runs, and a grace time after that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from bacalhau_jupyter.lib.clock import SECOND, Clock

FIRST_LEASE_S = 30.0
"""Seconds that a fresh node waits for its starter's lease, however short the grace."""

_LOOK_S = 1.0


async def wait_for_change(changed: asyncio.Event, limit_s: float) -> None:
    """Wait until the leases change, for ``limit_s`` at most."""
    try:
        async with asyncio.timeout(limit_s):
            await changed.wait()
    except TimeoutError:
        pass


class Leases:
    """Counts open leases and says when the node is no longer needed.

    Parameters
    ----------
    clock
        Measures how long the node was not needed.
    wait
        Waits for an event, with a limit in seconds; returns in either case.
    """

    def __init__(
        self, clock: Clock, wait: Callable[[asyncio.Event, float], Awaitable[None]] = wait_for_change
    ) -> None:
        self._clock = clock
        self._wait = wait
        self._changed = asyncio.Event()
        self.count = 0
        self.total = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a lease for the duration."""
        self.count += 1
        self.total += 1
        self._changed.set()
        try:
            yield
        finally:
            self.count -= 1
            self._changed.set()

    async def until_superfluous(
        self, active_jobs: Callable[[], Awaitable[int]], grace_s: float, first_lease_s: float = FIRST_LEASE_S
    ) -> None:
        """Return once no lease was held and no job ran for ``grace_s`` seconds in a row.

        Before the first lease the node waits ``first_lease_s`` at least.
        """
        idle_since: int | None = None
        seen = self.total
        while True:
            self._changed.clear()
            is_used = bool(self.count or await active_jobs())
            # After the question: a client may have taken a lease meanwhile, or even left again since the last look.
            is_used, seen = is_used or self.count > 0 or self.total != seen, self.total
            if is_used:
                idle_since = None
                wait_s = _LOOK_S
            else:
                now = self._clock.monotonic_ns()
                idle_since = now if idle_since is None else idle_since
                needed_s = grace_s if self.total else max(grace_s, first_lease_s)
                wait_s = needed_s - (now - idle_since) / SECOND
                if wait_s <= 0:
                    return
            # The end of the last job is polled, since it is not reported here.
            await self._wait(self._changed, max(0.01, min(wait_s, _LOOK_S)))

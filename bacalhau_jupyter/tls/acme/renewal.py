"""When a certificate is renewed, and the loop that sees to it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.cache import Cache
from bacalhau_jupyter.tls.acme.orders import Sleep
from bacalhau_jupyter.tls.acme.server import Refusal

TASK = "getting a certificate"
RETRY_S = (120.0, 3600.0)
"""First and longest pause after a failure: servers allow some five failures an hour."""

SHARE = 2 / 3
"""Of its lifetime, after which a certificate is renewed."""
_JITTER = 0.05
_LONGEST_SLEEP_S = 3600.0
_RANDOM = random.Random()

log = logging.getLogger(__name__)

Dice = Callable[[], float]


def fair_dice() -> float:
    """Return any number from -1 to 1."""
    return _RANDOM.uniform(-1, 1)


def renewal_ns(bundle: Bundle, jitter: float) -> int:
    """Return when to renew: after two thirds of the lifetime, give or take.

    Parameters
    ----------
    jitter
        From -1 to 1; nodes that started together should not come back together.
    """
    lifetime = bundle.ends_ns - bundle.starts_ns
    return bundle.starts_ns + int(lifetime * (SHARE + _JITTER * jitter))


class Keeper:
    """Keeps a certificate for some names valid.

    Parameters
    ----------
    names
        What the certificate is for; its file has the first one's name.
    cache
        Where it is kept.
    order
        Gets a new one.
    install
        Serves it from now on.
    problems
        Where a failure is shown while it lasts.
    sleep, dice
        Waits some seconds; gives a number from -1 to 1.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        cache: Cache,
        order: Callable[[], Awaitable[Bundle]],
        install: Callable[[Bundle], None],
        *,
        clock: Clock,
        problems: Problems,
        retry_s: tuple[float, float] = RETRY_S,
        sleep: Sleep = asyncio.sleep,
        dice: Dice = fair_dice,
    ) -> None:
        self._names = names
        self._cache = cache
        self._order = order
        self._install = install
        self._clock = clock
        self._problems = problems
        self._retry_s = retry_s
        self._sleep = sleep
        self._dice = dice
        self._bundle: Bundle | None = None
        self._due_ns = 0
        self._is_kept = True

    def take_up(self) -> bool:
        """Serve what the cache has for these names, if it is better than what is served; False where it has nothing."""
        bundle = self._cache.load(self._names[0])
        if bundle is None or not bundle.covers(self._names) or not bundle.is_valid(self._clock.now_ns()):
            return False
        if self._bundle is not None and bundle.ends_ns <= self._bundle.ends_ns:
            return False
        self._serve(bundle)
        return True

    async def run(self) -> None:
        """Order and renew until cancelled; what is served goes on being served when that fails."""
        delays = backoff(*self._retry_s)
        while True:
            try:
                if not await self._is_fresh():
                    self._serve(await self._order())
                    self._is_kept = False
                if self._bundle is not None and not self._is_kept:
                    await self._keep(self._bundle)
            except BacalhauError as error:
                self._problems.failed(TASK, error)
                await self._nap(self._clock.now_ns() + int(self._pause_s(error, delays) * SECOND))
            else:
                self._problems.clear(TASK)
                delays = backoff(*self._retry_s)
                await self._nap(self._due_ns)

    async def _keep(self, bundle: Bundle) -> None:
        await asyncio.to_thread(self._cache.store, self._names[0], bundle)
        self._is_kept = True
        log.info("the certificate for %s is valid until %s", ", ".join(self._names), rfc3339(bundle.ends_ns))

    async def _is_fresh(self) -> bool:
        if self._clock.now_ns() < self._due_ns:
            return True
        # Another node that shares the folder may have renewed it.
        return await asyncio.to_thread(self.take_up) and self._clock.now_ns() < self._due_ns

    def _serve(self, bundle: Bundle) -> None:
        self._install(bundle)
        self._bundle = bundle
        self._due_ns = renewal_ns(bundle, self._dice())

    def _pause_s(self, error: BacalhauError, delays: Iterator[float]) -> float:
        asked_s = error.retry_after_s if isinstance(error, Refusal) else 0.0
        return max(next(delays), asked_s)

    async def _nap(self, until_ns: int) -> None:
        """Wait for a moment of the wall clock, which may be set, and goes on while the computer sleeps."""
        while (left_ns := until_ns - self._clock.now_ns()) > 0:
            await self._sleep(min(left_ns / SECOND, _LONGEST_SLEEP_S))

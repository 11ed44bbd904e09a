"""A connection to a NATS server that comes back by itself, and says how it is meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transport.base import DeliveryError, LinkState
from bacalhau_jupyter.transport.nats.settings import NatsSettings

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from bacalhau_jupyter.transport.nats.client import Line

_log = logging.getLogger(__name__)

STEADY_S = 5.0
"""Seconds after which a connection counts as good, so that the next one is tried at once when it is lost."""

Callback = Callable[["Msg"], Awaitable[None]]
"""Takes a message; the next one of the subscription waits for it, so it must not take long."""

Watcher = Callable[[], None]
"""Is called when the connection was made, or was lost."""


class Connection:
    """A connection to one of some NATS servers; lost, it is made again for as long as it is not closed.

    Nothing is kept while it is down: what can't be sent now fails at once.

    Parameters
    ----------
    settings
        The servers, and how to show who we are.
    clock
        Dates the state.
    """

    def __init__(self, settings: NatsSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._line: Line | None = None
        self._max_payload = 0
        self._encrypted: set[str] = set()
        self._subscriptions: dict[str, Callback] = {}
        self._ups: list[Watcher] = []
        self._downs: list[Watcher] = []
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._attempt: asyncio.Future[None] | None = None
        self._problem: BacalhauError = NetworkFailure("the link is not open")
        self._state = LinkState(is_up=False, reason=self._problem.message, place=settings.place)

    @property
    def state(self) -> LinkState:
        """How it is."""
        return self._state

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have, by the last connection; 0 before the first."""
        return self._max_payload

    @property
    def is_open(self) -> bool:
        """Whether it is up or being made, and not closed."""
        return self._task is not None

    def subscribe(self, subject: str, callback: Callback) -> None:
        """Listen to a subject, from the next connection on and for ever."""
        self._subscriptions[subject] = callback

    def watch(self, up: Watcher, down: Watcher) -> None:
        """Call `up` after each time the connection was made, and `down` when it is lost."""
        self._ups.append(up)
        self._downs.append(down)

    async def open(self) -> None:
        """Begin to connect, or hurry, and wait for the outcome of one attempt, which `state` tells."""
        if self._state.is_up:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.get_running_loop().create_future()
        attempt = self._attempt
        self._hurry.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"link to {self.settings.place}")
        await asyncio.wait([attempt])

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a message on its way.

        Raises
        ------
        DeliveryError
            The connection is down, or can't carry it.
        """
        if self._line is None:
            raise self.down_error()
        await self._line.publish(subject, data, reply, headers)

    async def settle(self) -> None:
        """Wait until the server has taken what was sent; raises BacalhauError where it does not."""
        if self._line is None:
            raise self.down_error()
        await self._line.settle()

    def down_error(self) -> DeliveryError:
        """Return the error of those who need the connection now."""
        problem = self._problem
        return DeliveryError(
            problem.message, hint=problem.hint, code=problem.code, component="NATS", retryable=True
        )

    async def close(self) -> None:
        """End it, with all that waits for it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._went_down(NetworkFailure("the link is closed"))
        self._tried()

    async def _keep(self) -> None:
        delays = backoff(self.settings.reconnect_first_s, self.settings.reconnect_limit_s)
        # nats-py may swallow the cancellation by which `close` ends this.
        while self._is_kept():
            self._hurry.clear()
            try:
                line = await self._connect()
            except BacalhauError as error:
                self._went_down(error)
                self._tried()
            except Exception as error:
                _log.exception("connecting to %s failed", self.settings.place)
                self._went_down(NetworkFailure(f"connecting to {self.settings.place} failed: {error}"))
                self._tried()
            else:
                made_ns = self._clock.monotonic_ns()
                self._tried()
                try:
                    if self._is_kept():
                        await line.lost.wait()
                        self._went_down(line.reason)
                finally:
                    await line.close()
                if self._clock.monotonic_ns() - made_ns > STEADY_S * 1e9:
                    delays = backoff(self.settings.reconnect_first_s, self.settings.reconnect_limit_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(delays)):
                    await self._hurry.wait()

    def _is_kept(self) -> bool:
        """Whether the task that asks is still the one that keeps the connection."""
        return self._task is asyncio.current_task()

    async def _connect(self) -> Line:
        # nats-py takes 0.2 s to import: a node without a link never does.
        from bacalhau_jupyter.transport.nats.client import Line

        problem: BacalhauError = self._problem
        for server in self.settings.servers:
            line = Line(self.settings, server, must_encrypt=server in self._encrypted)
            try:
                await line.open()
            except BacalhauError as error:
                problem = error
                continue
            try:
                for subject, callback in self._subscriptions.items():
                    await line.listen(subject, callback)
                await line.settle()
            except BaseException as error:
                await line.close()
                if isinstance(error, BacalhauError):
                    problem = error
                    continue
                raise
            self._came_up(line, server)
            return line
        raise problem

    def _came_up(self, line: Line, server: str) -> None:
        self._line = line
        self._max_payload = line.max_payload
        if line.is_encrypted:
            # Whoever answers there without TLS later is not that server, or stands between.
            self._encrypted.add(server)
        self._state = LinkState(is_up=True, since_ns=self._clock.now_ns(), place=server)
        _log.info("connected to the NATS server at %s", server)
        for watcher in self._ups:
            watcher()

    def _went_down(self, problem: BacalhauError) -> None:
        was_up, self._line = self._line is not None, None
        if self._task is not None and (was_up or problem.message != self._problem.message):
            _log.warning("the link is down: %s", problem.message)
        since_ns = self._clock.now_ns() if was_up or not self._state.since_ns else self._state.since_ns
        self._problem = problem
        self._state = LinkState(
            is_up=False, reason=problem.message, since_ns=since_ns, place=self.settings.place
        )
        if was_up:
            for watcher in self._downs:
                watcher()

    def _tried(self) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(None)

"""The connected cluster: found once, looked up again when it is lost, started if it is ours and not running."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError, ServiceUnavailable

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0


class ClusterConnection:
    """Which API the gateway, the lease and the activity report talk to.

    Parameters
    ----------
    find
        Returns the endpoint, starting the node if it must; blocking, and it may raise `BacalhauError`.
    found
        Told of each endpoint that is new.
    clock
        Time between attempts to start a node that does not start.
    """

    def __init__(
        self,
        find: Callable[[], Endpoint],
        *,
        on_endpoint: Callable[[Endpoint], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._find = find
        self._on_endpoint = on_endpoint
        self._clock = clock or SystemClock()
        # One attempt at a time; the state has its own lock, because an event loop must never wait for the first.
        self._attempts = threading.Lock()
        self._state = threading.Lock()
        self._attempt: asyncio.Future[Endpoint] | None = None
        self._endpoint: Endpoint | None = None
        self._problem: BacalhauError | None = None
        self._delays = self._fresh_delays()
        self._not_before_ns = 0
        self._switched = asyncio.Event()

    @property
    def current(self) -> Endpoint | None:
        """The endpoint, while it is believed to be there."""
        return self._endpoint

    @property
    def problem(self) -> str:
        """Why there is none, in one sentence; empty while there is one."""
        return self._problem.message if self._problem is not None else ""

    def connect(self) -> Endpoint:
        """Return the endpoint; blocks until it is found.

        Raises
        ------
        ServiceUnavailable
            It could not be found or started. For a growing while after that, callers get the same error at once.
        """
        with self._attempts:
            while True:
                switched, current, problem = self._switched, self._endpoint, self._problem
                if current is not None:
                    return current
                if problem is not None and self._clock.monotonic_ns() < self._not_before_ns:
                    raise problem
                outcome = self._attempted()
                if not self._took(outcome, switched):
                    # Who switched meanwhile wants neither what was found nor the reason why nothing was.
                    continue
                if isinstance(outcome, BacalhauError):
                    raise outcome
                self._on_endpoint(outcome)
                return outcome

    async def endpoint(self) -> Endpoint:
        """Return the endpoint without blocking the event loop; raises as `connect` does.

        Callers at the same time share one attempt. Who waits while the user switches gets the new cluster.
        """
        while True:
            switched, endpoint = self._switched, self._endpoint
            if endpoint is not None:
                return endpoint
            if self._attempt is None or self._attempt.done():
                self._attempt = _in_thread(self.connect)
            try:
                endpoint = await asyncio.shield(self._attempt)
            except BacalhauError:
                if switched is self._switched:
                    raise
            else:
                if switched is self._switched:
                    return endpoint

    async def renew(self, lost: Endpoint) -> Endpoint:
        """Look again because ``lost`` does not answer; raises as `connect` does."""
        self.drop(lost)
        return await self.endpoint()

    def drop(self, lost: Endpoint) -> None:
        """Forget ``lost``, unless another endpoint has taken its place already."""
        with self._state:
            if self._endpoint is lost:
                self._endpoint = None

    def switch(self) -> None:
        """Forget everything: the user chose another cluster. Call it on the event loop."""
        with self._state:
            self._endpoint, self._problem = None, None
            self._not_before_ns = 0
            self._delays = self._fresh_delays()
            switched, self._switched = self._switched, asyncio.Event()
        switched.set()

    async def until_switched(self) -> None:
        """Return once the user chooses another cluster."""
        await self._switched.wait()

    async def unless_switched(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work to its end; True when it was cancelled because the user chose another cluster."""
        # The event of now: when the task begins, there may have been a switch already.
        switched = asyncio.create_task(self._switched.wait(), name="bacalhau switch")
        task = asyncio.create_task(work, name="bacalhau work")
        try:
            await asyncio.wait({switched, task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return True
            await task
            return False
        finally:
            switched.cancel()
            task.cancel()
            await asyncio.gather(switched, task, return_exceptions=True)

    def _attempted(self) -> Endpoint | BacalhauError:
        try:
            return self._find()
        except BacalhauError as error:
            problem = ServiceUnavailable(error.message, hint=error.hint, retryable=True)
            problem.__cause__ = error
        except OSError as error:
            reason = error.strerror or error
            problem = ServiceUnavailable(f"the node can't be started: {reason}", retryable=True)
            problem.__cause__ = error
        return problem

    def _took(self, outcome: Endpoint | BacalhauError, switched: asyncio.Event) -> bool:
        """Keep what came of an attempt, unless the user switched since it began."""
        with self._state:
            if switched is not self._switched:
                return False
            if isinstance(outcome, BacalhauError):
                self._problem = outcome
                self._not_before_ns = self._clock.monotonic_ns() + int(next(self._delays) * SECOND)
            else:
                self._endpoint, self._problem = outcome, None
                self._delays = self._fresh_delays()
            return True

    @staticmethod
    def _fresh_delays() -> Iterator[float]:
        return backoff(FIRST_DELAY_S, LONGEST_DELAY_S)


def _in_thread(work: Callable[[], Endpoint]) -> asyncio.Future[Endpoint]:
    """Run blocking work in its own thread: the interpreter waits for a pool's threads before it ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Endpoint] = loop.create_future()
    # The callers may have gone by the time it fails.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def deliver(result: Endpoint | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=run, name="bacalhau-connect", daemon=True).start()
    return future

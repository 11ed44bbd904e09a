"""A link: carries out what `machine` decides for one way, and tells everybody how it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.fault import Fault, Part, WayClosed, unreachable
from bacalhau_jupyter.engines.docker.link.machine import (
    Asked,
    Changed,
    Check,
    Close,
    Due,
    Ended,
    Event,
    Failed,
    Instruction,
    Now,
    Open,
    Opened,
    Suspected,
    Wait,
    begin,
    step,
)
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.threads.whole import to_the_end
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.plugins.link import HostStatus

_log = logging.getLogger(__name__)

Stamp = tuple[int, int] | None
"""When a file was changed and how long it is; None where there is none."""
WATCH_S = 5.0
"""Seconds between looks at the files that decide whether we are let in, while we are not."""


class Way(Protocol):
    """One attempt at a way: opened once, and closed whatever came of it."""

    async def open(self) -> str:
        """Open it, and return how calls get there, for people.

        Raises
        ------
        WayClosed
            It can't be used.
        """
        ...

    async def lost(self) -> Fault:
        """Wait until it breaks, and return why."""
        ...

    async def check(self) -> Fault | None:
        """Make a call; return why it has failed, or None."""
        ...

    async def run(self, script: str, timeout_s: float) -> str:
        """Run a script on the host, and return what it printed; see `HostLink.run`."""
        ...

    async def close(self) -> None:
        """End it, whatever its state; harmless when called twice."""
        ...


class Link:
    """Keeps a way open; see `plugins.link.HostLink`.

    Parameters
    ----------
    name
        What people call the host.
    endpoint
        Where the engine is reached while the way is open.
    make
        Makes a new way for each attempt.
    watched
        Names the files that decide whether we are let in.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        make: Callable[[], Way],
        *,
        clock: Clock,
        watched: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        self._name, self.endpoint = name, endpoint
        self._make, self._clock, self._watched = make, clock, watched
        self._record = begin(self._now())
        self._listeners: list[Callable[[HostStatus], None]] = []
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._wait: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._way: Way | None = None
        self._stamps_before: dict[Path, Stamp] = {}
        self._is_ready = asyncio.Event()
        self._is_closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def status(self) -> HostStatus:
        return self._record.status

    def watch(self, listener: Callable[[HostStatus], None]) -> Callable[[], None]:
        self._listeners.append(listener)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return end

    async def start(self) -> None:
        if self._work is None and not self._is_closed:
            self._loop = asyncio.get_running_loop()
            self._work = asyncio.create_task(self._handle_events(), name=f"link to {self._name}")
            self._events.put_nowait(Due())

    async def ready(self) -> None:
        await self._is_ready.wait()
        if self._is_closed:
            raise NetworkFailure(f"the way to {self._name} was closed")

    def broke(self, reason: str) -> None:
        self._from_anywhere(Suspected())

    def again(self) -> None:
        self._from_anywhere(Asked())

    async def run(self, script: str, timeout_s: float) -> str:
        way = self._way
        if way is None:
            raise NetworkFailure(
                self.status.problem or f"{self._name} is not reached yet",
                hint=self.status.hint,
                retryable=True,
            )
        return await way.run(script, timeout_s)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        # Who waits shall not wait for ever.
        self._is_ready.set()
        if self._work is not None:
            self._events.put_nowait(Ended())
            await asyncio.shield(self._work)

    def _from_anywhere(self, event: Event) -> None:
        loop = self._loop
        if loop is not None:
            # A loop that is closed has no link that works.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _now(self) -> Now:
        return Now(self._clock.now_ns(), self._clock.monotonic_ns())

    async def _handle_events(self) -> None:
        while True:
            event = await self._events.get()
            before = self._record.status
            self._record, instructions = step(self._record, event, self._now())
            if self._record.status != before:
                self._tell()
            for instruction in instructions:
                await self._carry_out(instruction)
            if isinstance(event, Ended):
                await _cancel(self._wait)
                return

    def _tell(self) -> None:
        status = self._record.status
        _log.info(
            "host %s: %s%s", self._name, status.state.value, f": {status.problem}" if status.problem else ""
        )
        if status.is_ready:
            self._is_ready.set()
        elif not self._is_closed:
            self._is_ready.clear()
        for listener in list(self._listeners):
            try:
                listener(status)
            except Exception:
                _log.exception("a listener to the link of host %s has failed", self._name)

    async def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Open():
                await _cancel(self._wait)
                self._wait = None
                self._attempt = asyncio.create_task(self._try(instruction.attempt))
            case Check():
                if self._check is None or self._check.done():
                    self._check = asyncio.create_task(self._look(instruction.attempt))
            case Close():
                await _cancel(self._check)
                await _cancel(self._attempt)
                self._check = self._attempt = None
            case Wait():
                self._wait = asyncio.create_task(self._pause(instruction))

    async def _try(self, attempt: int) -> None:
        # Before, so that no change is missed that comes while it is tried.
        self._stamps_before = await asyncio.to_thread(self._stamps)
        way = self._make()
        try:
            words = await way.open()
            self._way = way
            self._events.put_nowait(Opened(attempt, words))
            fault = await way.lost()
        except WayClosed as closed:
            fault = closed.fault
        except Exception as error:
            _log.exception("the way to host %s could not be kept", self._name)
            fault = unreachable(Part.PROGRAM, f"{self._name} can't be reached from here: {error!r}"[:300])
        finally:
            self._way = None
            # Whole: this task may be cancelled while it does so already.
            await to_the_end(way.close())
        self._events.put_nowait(Failed(attempt, fault))

    async def _look(self, attempt: int) -> None:
        way = self._way
        fault = None if way is None else await way.check()
        if fault is not None:
            self._events.put_nowait(Failed(attempt, fault))

    async def _pause(self, instruction: Wait) -> None:
        try:
            async with asyncio.timeout(instruction.delay_s):
                if instruction.watches:
                    await self._change()
                else:
                    await asyncio.Event().wait()
        except TimeoutError:
            self._events.put_nowait(Due())
        else:
            self._events.put_nowait(Changed())

    async def _change(self) -> None:
        """Wait until one of the files has changed. No event tells that of files that need not exist."""
        # The attempt may have shown further files that matter.
        before = await asyncio.to_thread(self._stamps) | self._stamps_before
        while True:
            await asyncio.sleep(WATCH_S)
            now = await asyncio.to_thread(self._stamps)
            if any(before.get(path) != stamp for path, stamp in now.items()):
                return

    def _stamps(self) -> dict[Path, Stamp]:
        stamps = dict[Path, Stamp]()
        for path in self._watched():
            try:
                entry = path.stat()
                stamps[path] = (entry.st_mtime_ns, entry.st_size)
            except OSError:
                stamps[path] = None
        return stamps


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        # Its own end is waited for, not taken over.
        await asyncio.wait({task})

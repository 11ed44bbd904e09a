"""Watch a job: its transitions and its output as one stream, over reconnects.

A node that lists the feature ``events`` pushes; against an official node the history is polled, as the
official CLI does. Output is followed per execution, so a retried job shows each attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.history import HistoryType, StreamEvent, Topic

POLL_S = 0.5
FOLLOWED_AT_ONCE = 16
"""Executions whose output is followed at the same time; the rest of a wide job is read from its results."""

PATIENCE_S = 60.0
"""Seconds without the node after which a watcher gives up; restarts of any number are survived."""

_LATE_OUTPUT_S = 15.0
"""Seconds without a byte after which output that never ends is given up, once the job is over."""

_LATE_OUTPUT_OFFICIAL_S = 3.0
"""The same against an official node, which keeps the stream of an execution that wrote nothing open."""

_QUEUE = 1024


@dataclass(frozen=True)
class Output:
    """A chunk of a task's output; ``stream`` 1 = stdout, 2 = stderr."""

    stream: int
    text: str
    execution: str


@dataclass(frozen=True)
class Transition:
    """Something happened to the job; ``event.state`` is the job's state after it."""

    event: StreamEvent

    @property
    def state(self) -> JobStateType:
        """The job's state after the event."""
        return JobStateType(self.event.state)


Update = Output | Transition
Reconnect = Callable[[AsyncAPI], Awaitable[AsyncAPI]]
"""Takes the API that lost its connection; returns one of the same cluster (its address may be new)."""


async def watch(
    api: AsyncAPI, job_id: str, *, logs: bool = True, reconnect: Reconnect | None = None
) -> AsyncGenerator[Update, None]:
    """Yield what happens to a job from its submission until it is over and its output is complete.

    Raises
    ------
    BacalhauError
        The job is unknown, or the node stayed away after several tries.
    """
    watcher = _Watcher(api, job_id, logs, reconnect)
    try:
        async for update in watcher.updates():
            yield update
    finally:
        await watcher.close()


class _Watcher:
    def __init__(self, api: AsyncAPI, job_id: str, logs: bool, reconnect: Reconnect | None) -> None:
        self._api = api
        self._job = job_id
        self._logs = logs
        self._reconnect = reconnect
        self._queue: asyncio.Queue[Update | BaseException | None] = asyncio.Queue(_QUEUE)
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._delivered = 0
        self._version = 0
        self._official = False
        self._main: asyncio.Task[None] | None = None

    async def updates(self) -> AsyncIterator[Update]:
        self._main = asyncio.create_task(self._run())
        while True:
            item = await self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    async def close(self) -> None:
        tasks = [*self._followers.values(), *([self._main] if self._main else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            self._official = not await self._pushes()
            await (self._polled() if self._official else self._pushed())
            await self._drain()
            await self._queue.put(None)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._queue.put(error)

    async def _pushes(self) -> bool:
        """Ask which version of the job is meant (the newest), and whether the node pushes events."""
        outage = _Outage()
        while True:
            api = self._api
            try:
                node, answer = await asyncio.gather(api.offer(), api.get_job(self._job))
                self._version = answer.job.version
                return "events" in node.features
            except NetworkFailure as error:
                await self._outlast(outage, api, error)

    async def _drain(self) -> None:
        """Wait for the rest of the output; a stream that brings nothing more is not waited for."""
        late = _LATE_OUTPUT_OFFICIAL_S if self._official else _LATE_OUTPUT_S
        pending = set(self._followers.values())
        while pending:
            before = self._delivered
            done, pending = await asyncio.wait(pending, timeout=late, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not done and self._delivered == before and self._queue.empty():
                return

    async def _pushed(self) -> None:
        """Read the event stream; after a broken connection go on behind the last event seen."""
        last = 0
        outage = _Outage()
        while True:
            api = self._api
            try:
                async for event in api.events(since=last, job=self._job):
                    outage = _Outage()
                    last = max(last, event.seq)
                    if await self._saw(event):
                        return
                raise NetworkFailure("the events ended before the job", retryable=True, component="Client")
            except NetworkFailure as error:
                await self._outlast(outage, api, error)

    async def _outlast(self, outage: _Outage, api: AsyncAPI, error: NetworkFailure) -> None:
        """Wait a little, then find the node again.

        Raises
        ------
        NetworkFailure
            It can't help to try again, or the node stayed away too long.
        """
        if not error.retryable or outage.is_over:
            raise error
        await asyncio.sleep(next(outage.delays))
        if self._reconnect is not None and api is self._api:
            with contextlib.suppress(BacalhauError):
                self._api = await self._reconnect(api)

    async def _polled(self) -> None:
        """Read the history page by page until its token is empty, then the job's final state."""
        token = ""
        outage = _Outage()
        while True:
            api = self._api
            try:
                page = await api.history(self._job, limit=50, next_token=token)
            except NetworkFailure as error:
                await self._outlast(outage, api, error)
                continue
            outage = _Outage()
            for row in page.items:
                event = StreamEvent(
                    seq=row.seq_num,
                    time=row.time,
                    topic=row.event.topic,
                    message=row.event.message,
                    job=row.job_id,
                    job_version=row.job_version,
                    execution=row.execution_id if row.type is HistoryType.EXECUTION else "",
                    node=row.event.details.get("NodeID", ""),
                    state=row.event.details.get("NewState", ""),
                    details=row.event.details,
                )
                await self._saw(event)
            token = page.next_token
            if not token:
                break
            if not page.items:
                await asyncio.sleep(POLL_S)
        job = (await self._api.get_job(self._job)).job
        await self._saw(
            StreamEvent(
                topic=Topic.STATE_UPDATE,
                message=job.state.message,
                job=job.id,
                state=job.state.state_type.value,
            )
        )

    async def _saw(self, event: StreamEvent) -> bool:
        """Hand an event on; return whether the job is over."""
        if 0 < event.job_version < self._version:
            return False
        fresh = event.execution and event.execution not in self._followers
        # An official node has no output to show before the execution runs, and none to wait for if it never does.
        fresh = fresh and not (self._official and event.topic != Topic.EXECUTION)
        if self._logs and fresh and len(self._followers) < FOLLOWED_AT_ONCE:
            self._followers[event.execution] = asyncio.create_task(self._follow(event.execution))
        await self._queue.put(Transition(event))
        return JobStateType(event.state).is_terminal

    async def _follow(self, execution: str) -> None:
        """Copy one execution's output; after a broken connection skip what was delivered already.

        Counted per stream: a replay may mix stdout and stderr otherwise than they came live.
        """
        delivered: Counter[int] = Counter()
        outage = _Outage()
        while True:
            position: Counter[int] = Counter()
            api = self._api
            try:
                async for frame in api.logs(self._job, execution_id=execution, follow=True):
                    outage = _Outage()
                    stream, text = frame.value.type, frame.value.line
                    position[stream] += len(text)
                    new = position[stream] - delivered[stream]
                    if new > 0:
                        delivered[stream] += new
                        self._delivered += new
                        await self._queue.put(Output(stream, text[-new:], execution))
                return
            except NetworkFailure as error:
                try:
                    await self._outlast(outage, api, error)
                except NetworkFailure:
                    # The transitions run into the same outage and say so.
                    return
            except BacalhauError:
                # No output to be had (bid rejected, node gone): the transitions say why.
                return


class _Outage:
    """One time without the node: how long it may last, and the pauses between two tries."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_S
        self.delays = backoff(0.1, 2.0)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._until

"""Watch a job: its transitions and its output as one stream, over reconnects.

A node that lists the feature ``events`` pushes; against an official node the history is polled, as the
official CLI does. Output is followed per execution, so a retried job shows each attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bacalhau_jupyter.client.api import AsyncAPI
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.models.history import HistoryType, StreamEvent, Topic
from bacalhau_jupyter.models.job import JobStateType

POLL_S = 0.5
FOLLOWED_AT_ONCE = 16
"""Executions whose output is followed at the same time; the rest of a wide job is read from its results."""

_RECONNECTS = 6
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
Reconnect = Callable[[], Awaitable[AsyncAPI]]
"""Returns an API of the same cluster after the connection was lost (its address may be new)."""


async def watch(
    api: AsyncAPI, job_id: str, *, logs: bool = True, reconnect: Reconnect | None = None
) -> AsyncIterator[Update]:
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
            pushed = "events" in (await self._api.agent_node()).features
            await (self._pushed() if pushed else self._polled())
            await asyncio.gather(*self._followers.values())
            await self._queue.put(None)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._queue.put(error)

    async def _pushed(self) -> None:
        """Read the event stream; after a broken connection go on behind the last event seen."""
        last = 0
        delays = backoff(0.1, 2.0)
        for attempt in range(_RECONNECTS + 1):
            try:
                async for event in self._api.events(since=last, job=self._job):
                    last = max(last, event.seq)
                    if await self._saw(event):
                        return
                return
            except BacalhauError as error:
                if not error.retryable or attempt == _RECONNECTS:
                    raise
                await asyncio.sleep(next(delays))
                await self._renew()

    async def _renew(self) -> None:
        if self._reconnect is not None:
            with contextlib.suppress(BacalhauError):
                self._api = await self._reconnect()

    async def _polled(self) -> None:
        """Read the history page by page until its token is empty, then the job's final state."""
        token = ""
        while True:
            page = await self._api.history(self._job, limit=50, next_token=token)
            for row in page.items:
                event = StreamEvent(
                    seq=row.seq_num,
                    time=row.time,
                    topic=row.event.topic,
                    message=row.event.message,
                    job=row.job_id,
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
        fresh = event.execution and event.execution not in self._followers
        if self._logs and fresh and len(self._followers) < FOLLOWED_AT_ONCE:
            self._followers[event.execution] = asyncio.create_task(self._follow(event.execution))
        await self._queue.put(Transition(event))
        return JobStateType(event.state).is_terminal

    async def _follow(self, execution: str) -> None:
        """Copy one execution's output; after a broken connection skip what was delivered already."""
        seen = 0
        delays = backoff(0.1, 2.0)
        for _ in range(_RECONNECTS + 1):
            position = 0
            try:
                async for frame in self._api.logs(self._job, execution_id=execution, follow=True):
                    text = frame.value.line
                    position += len(text)
                    if position > seen:
                        fresh = text[len(text) - (position - seen) :]
                        seen = position
                        await self._queue.put(Output(frame.value.type, fresh, execution))
                return
            except NetworkFailure:
                await asyncio.sleep(next(delays))
            except BacalhauError:
                # No output to be had (bid rejected, node gone): the transitions say why.
                return

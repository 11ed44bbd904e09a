"""Running jobs count as activity: no culler should end a Jupyter server whose node is at work.

One look at the list of jobs when the event stream opens, then events only. A clock tick (without a request) keeps
the time of the last activity fresh while a job runs in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.server.gateway import paths
from bacalhau_jupyter.server.gateway.upstream import Upstream, lost

log = logging.getLogger(__name__)

TICK_S = 30.0
RECOUNT_S = 600.0
"""Seconds after which the stream is opened anew, so that a miscount can't keep a server alive for ever."""
PAGE = 200
PAGES = 100
PAGE_LIMIT = 16 * 1024 * 1024

OVER = frozenset({"", "Undefined", "Completed", "Failed", "Stopped"})


class _State(msgspec.Struct, rename="pascal"):
    state_type: str = ""


class _Job(msgspec.Struct):
    id: str = msgspec.field(default="", name="ID")
    state: _State = msgspec.field(default_factory=_State, name="State")


class _Page(msgspec.Struct, rename="pascal"):
    next_token: str = ""
    items: list[_Job] = []


class ActivityWatch:
    """Counts the running jobs of the embedded node.

    Parameters
    ----------
    upstream
        The way to the node.
    active
        Called whenever there is activity: at each event of a job, and in intervals while one runs.
    tick_s
        Length of those intervals.
    """

    def __init__(self, upstream: Upstream, active: Callable[[], None], tick_s: float = TICK_S) -> None:
        self._upstream = upstream
        self._active = active
        self._tick_s = tick_s
        self._jobs: set[str] = set()
        self._counting = False

    @property
    def active_jobs(self) -> int | None:
        """Jobs that are not over; None while they are not counted."""
        return len(self._jobs) if self._counting else None

    async def watch(self) -> None:
        """Follow the node's jobs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick(), name="bacalhau activity tick")
            tasks.create_task(self._follow_for_ever(), name="bacalhau activity")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            if self._jobs:
                self._active()

    async def _follow_for_ever(self) -> None:
        delays = backoff(1.0, 60.0)
        limit: asyncio.Timeout | None = None
        while True:
            try:
                connection = self._upstream.connection
                if not (await connection.endpoint()).embedded:
                    # A cluster whose jobs do not depend on this server.
                    await connection.until_switched()
                async with asyncio.timeout(RECOUNT_S) as limit:
                    if await connection.unless_switched(self._follow()):
                        delays = backoff(1.0, 60.0)
                        self._forget()
                        continue
            except TimeoutError as error:
                if limit is not None and limit.expired():
                    delays = backoff(1.0, 60.0)
                    continue
                log.debug("bacalhau activity: %r", error)
            except (BacalhauError, aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
                log.debug("bacalhau activity: %r", error)
            if self._counting:
                delays = backoff(1.0, 60.0)
            self._forget()
            await asyncio.sleep(next(delays))

    def _forget(self) -> None:
        self._counting = False
        self._jobs.clear()

    async def _follow(self) -> None:
        """Follow one event stream to its end."""
        async with self._upstream.stream(paths.parse("/api/v1/orchestrator/events")) as events:
            # The stream is open, so that nothing falls between this list and the first event.
            self._jobs = await self._unfinished()
            self._counting = True
            if self._jobs:
                self._active()
            async for message in events:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._apply(msgspec.json.decode(message.data, type=StreamEvent))

    def _apply(self, event: StreamEvent) -> None:
        # Passing events (progress) say nothing of the job's state, and may trail behind its end.
        if not event.job or not event.state:
            return
        if event.state in OVER:
            self._jobs.discard(event.job)
        else:
            self._jobs.add(event.job)
        self._active()

    async def _unfinished(self) -> set[str]:
        job_ids: set[str] = set()
        token = ""
        for _ in range(PAGES):
            query = f"namespace=*&limit={PAGE}&reverse=true" + (f"&next_token={token}" if token else "")
            page = await self._page(paths.parse("/api/v1/orchestrator/jobs", query))
            job_ids.update(job.id for job in page.items if job.state.state_type not in OVER)
            token = page.next_token
            if not token:
                break
        return job_ids

    async def _page(self, target: paths.Target) -> _Page:
        answer: Any
        answer, _ = await self._upstream.request("GET", target, {})
        async with answer:
            try:
                body = await answer.content.read(PAGE_LIMIT)
                while chunk := await answer.content.read(PAGE_LIMIT):
                    body += chunk
            except (aiohttp.ClientError, TimeoutError) as error:
                raise lost(error) from error
            if answer.status != 200:
                raise BacalhauError(f"the list of jobs was answered with HTTP {answer.status}")
        return msgspec.json.decode(body, type=_Page)

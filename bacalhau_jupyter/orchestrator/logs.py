"""Log streams: wait for an execution rather than refuse, then pass on what its node sends."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import cast

from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.orchestrator.base import LogQuery
from bacalhau_jupyter.orchestrator.queries import get_job, newest_execution
from bacalhau_jupyter.orchestrator.store import executions
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.transport.base import OrchestratorTransport

COMPONENT = "LogStream"

REPEAT_S = 0.5
"""Seconds between two looks at the output of an official node."""

WASM = "wasm"

_Source = Callable[[Execution, LogQuery], AsyncGenerator[LogFrame, None]]

PATIENCE_S = 30.0
"""Seconds that a reader who does not follow waits for an execution."""


ARRIVAL_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds between questions about an execution that is on its way to its node."""


class JobWatch:
    """Wakes those who wait for something to happen to a job."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set each time something is stored about the job."""
        changed = asyncio.Event()
        self._waiters.setdefault(job_id, set()).add(changed)
        try:
            yield changed
        finally:
            waiters = self._waiters[job_id]
            waiters.discard(changed)
            if not waiters:
                del self._waiters[job_id]

    def changed(self, job_id: str) -> None:
        """Something was stored about the job."""
        for waiter in self._waiters.get(job_id, ()):
            waiter.set()


class LogReader:
    """Streams the output of jobs.

    Parameters
    ----------
    store, transport
        Where executions are, and the way to their nodes.
    watch
        Tells when a job changes.
    is_official
        Whether a node is an official one.
    """

    def __init__(
        self,
        store: Store,
        transport: OrchestratorTransport,
        watch: JobWatch,
        is_official: Callable[[str], bool] = lambda node_id: False,
    ) -> None:
        self._store = store
        self._transport = transport
        self._watch = watch
        self._is_official = is_official

    async def read(self, reference: str, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Yield log frames; an error is a last frame that says so."""
        try:
            execution = await self._execution(reference, query)
            if execution is None:
                return
            source: _Source = self._frames
            if self._is_official(execution.node_id):
                source = await self._official_source(execution, query)
            async with contextlib.aclosing(source(execution, query)) as frames:
                async for frame in frames:
                    yield frame
        except BacalhauError as error:
            yield LogFrame(error=error.message)

    async def _execution(self, reference: str, query: LogQuery) -> Execution | None:
        """Wait until there is an execution that writes or has written; None if the job ended without one."""
        job = await self._store.read(lambda c: get_job(c, reference, query.namespace, query.version))
        with self._watch.watch(job.id) as changed:
            try:
                async with asyncio.timeout(None if query.follow else PATIENCE_S):
                    while True:
                        changed.clear()
                        over, execution = await self._store.read(lambda c: _look(c, job, query))
                        if over or execution is not None:
                            return execution
                        await changed.wait()
            except TimeoutError:
                raise NotFound(
                    f"failed to open log stream for job {job.id}: no executions found for job {job.name} with "
                    f"ID {job.id}, and version {job.version}",
                ) from None

    async def _frames(self, execution: Execution, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Yield what the node sends; one that gets no bid to answer may not know the execution yet."""
        on_its_way = execution.compute_state.state_type is ExecutionStateType.NEW
        for pause_s in (*ARRIVAL_PAUSES_S, None):
            async with contextlib.aclosing(self._node_frames(execution, query)) as frames:
                async for frame in frames:
                    if frame.error and on_its_way and pause_s is not None:
                        break
                    on_its_way = False
                    yield frame
                else:
                    return
            await asyncio.sleep(pause_s or 0)

    async def _official_source(self, execution: Execution, query: LogQuery) -> _Source:
        job = await self._store.read(lambda c: get_job(c, execution.job_id, "", 0))
        if job.tasks and job.tasks[0].engine.is_type(WASM):
            return self._record
        return self._repeated if query.follow and not execution.is_terminal else self._frames

    async def _repeated(self, execution: Execution, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Follow by reading again and again: an official node serves one stream at a time, until it ends."""
        printed: Counter[int] = Counter()
        loop, is_first = asyncio.get_running_loop(), True
        with self._watch.watch(execution.job_id) as changed:
            while True:
                changed.clear()
                now = await self._store.read(lambda c: executions.get(c, execution.id)) or execution
                began, position = loop.time(), Counter[int]()
                async with contextlib.aclosing(self._frames(now, LogQuery())) as frames:
                    async for frame in frames:
                        if frame.error:
                            yield frame
                            return
                        kind, line = frame.value.type, frame.value.line
                        fresh = line[max(0, printed[kind] - position[kind]) :]
                        position[kind] += len(line)
                        if fresh and not (is_first and query.tail):
                            yield LogFrame(value=LogLine(type=kind, line=fresh))
                printed |= position
                is_first = False
                if now.is_terminal:
                    return
                # However long the output is, the node has time for others.
                pause_s = max(REPEAT_S, 2 * (loop.time() - began))
                # Not `wait_for`, which drops a cancellation that comes with the change.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await changed.wait()

    async def _record(self, execution: Execution, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Yield what the record has: official nodes keep no log of modules, and are silent for a minute if asked."""
        current: Execution | None = execution
        with self._watch.watch(execution.job_id) as changed:
            while query.follow and current is not None and not current.is_terminal:
                # It may have ended before anybody watched.
                changed.clear()
                current = await self._store.read(lambda c: executions.get(c, execution.id))
                if current is not None and not current.is_terminal:
                    await changed.wait()
        if current is not None:
            # What a running one will have printed is all new.
            for frame in _recorded(current, tail=query.tail and execution.is_terminal):
                yield frame

    async def _node_frames(self, execution: Execution, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        request = ExecutionLogsRequest(
            execution_id=execution.id, node_id=execution.node_id, tail=query.tail, follow=query.follow
        )
        has_ended = False
        stream = cast(AsyncGenerator[LogFrame, None], self._transport.logs(request))
        try:
            async for frame in stream:
                if frame.error and not has_ended and execution.is_terminal:
                    break
                has_ended = True
                yield frame
            else:
                return
        except BacalhauError:
            if has_ended or not execution.is_terminal:
                raise
        finally:
            closer = getattr(stream, "aclose", None)
            if closer is not None:
                await closer()
        # The node or its log file is gone; the record still has the beginning of the output.
        for frame in _recorded(execution, tail=query.tail):
            yield frame


def _look(connection: sqlite3.Connection, job: Job, query: LogQuery) -> tuple[bool, Execution | None]:
    """Return whether to stop waiting, and the execution to read."""
    current = get_job(connection, job.id, job.namespace, 0)
    over = current.is_terminal or current.version != job.version
    if query.execution_id:
        try:
            identifier = executions.resolve(connection, job.id, query.execution_id)
        except NotFound as error:
            raise NotFound(
                f"failed to open log stream for job {job.id}: unable to find execution {query.execution_id} in job "
                f"{job.id} and job version {job.version}",
            ) from error
        chosen = executions.get(connection, identifier)
    else:
        chosen = newest_execution(executions.of_job(connection, job.id, job.version))
        if chosen is not None and chosen.is_discarded and not over:
            chosen = None  # another attempt is about to be made
    if chosen is None:
        return over, None
    started = chosen.desired_state.state_type is DesiredStateType.RUNNING or chosen.is_terminal
    return over, chosen if started else None


def _recorded(execution: Execution, *, tail: bool) -> Iterator[LogFrame]:
    output = execution.run_output
    if output is None or tail:
        return
    for kind, text in ((1, output.stdout), (2, output.stderr)):
        for line in text.splitlines(keepends=True):
            yield LogFrame(value=LogLine(type=kind, line=line))

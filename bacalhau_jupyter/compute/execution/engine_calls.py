"""What the node asks of engines about one execution, besides starting it and waiting for it.

An engine may work on a machine that can't be reached for a while (`plugins.link`). What must be done there is then done
when it answers again, however late that is; no other engine is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.linked import link_of
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, NetworkFailure
from bacalhau_jupyter.plugins.engine import Engine, RunRequest, WitnessEngine
from bacalhau_jupyter.plugins.link import HostLink

_log = logging.getLogger(__name__)

RETRY_S = (0.2, 5.0)
"""First and longest delay, in seconds, before an engine that could not answer is asked again."""


class EngineCalls:
    """Makes these calls.

    Parameters
    ----------
    plugins
        Where the engines are.
    settings
        How long a call may take.
    clock
        For limits.
    """

    def __init__(self, plugins: Plugins, settings: ComputeSettings, clock: Clock) -> None:
        self._plugins = plugins
        self._settings = settings
        self._clock = clock

    def engine(self, record: ExecutionRecord) -> Engine:
        """Return the engine of an execution.

        Raises
        ------
        EngineError
            This node has none of that type.
        """
        job = record.execution.job
        if job is None:
            raise EngineError(f"execution {record.id} has no job")
        engine = self._plugins.engine(job.task.engine.type)
        if engine is None:
            raise EngineError(f"this node does not support {job.task.engine.type}")
        return engine

    def runtime(self, record: ExecutionRecord) -> str:
        """Return what runs the engine of an execution here."""
        return self._plugins.availability(self.engine(record)).runtime

    def link(self, record: ExecutionRecord) -> HostLink | None:
        """Return the way to the machine of an execution; None where it is this one."""
        job = record.execution.job
        return None if job is None or not job.tasks else link_of(self._plugins.engine(job.task.engine.type))

    def is_away(self, record: ExecutionRecord) -> bool:
        """Whether the machine of an execution can't be reached now."""
        link = self.link(record)
        return link is not None and not link.status.is_ready

    async def reached(self, record: ExecutionRecord) -> None:
        """Wait until the machine of an execution can be reached, however long that takes."""
        if (link := self.link(record)) is not None:
            await link.ready()

    async def attached(self, record: ExecutionRecord, request: RunRequest) -> bool:
        """After a restart: whether the engine still has the task; one here that can't say is asked for a while only."""
        link = self.link(record)
        deadline = self._clock.monotonic_ns() + int(self._settings.probe_timeout_s * SECOND)
        for delay_s in backoff(*RETRY_S):
            await self.reached(record)
            try:
                async with asyncio.timeout(self._settings.probe_timeout_s):
                    return await self.engine(record).attach(request)
            except Exception as error:
                # Any exception of a plug-in: an execution that is not attached would live for ever.
                is_expected = isinstance(error, (BacalhauError, TimeoutError, OSError))
                _log.warning(
                    "execution %s can't be attached yet: %s", record.id, error, exc_info=not is_expected
                )
                for_ever = link is not None and is_expected
            if not for_ever and self._clock.monotonic_ns() > deadline:
                break
            await asyncio.sleep(delay_s)
        return False

    async def ended_ns(self, record: ExecutionRecord) -> int:
        """Return when the task ended by its own machine's word, which is waited for; 0: it runs, or is not known."""
        engine, link = self.engine(record), self.link(record)
        if not isinstance(engine, WitnessEngine):
            return 0
        for delay_s in backoff(*RETRY_S):
            await self.reached(record)
            try:
                async with asyncio.timeout(self._settings.probe_timeout_s):
                    return await engine.ended_ns(record.execution)
            except Exception as error:
                if link is None or not _may_pass(error):
                    _log.info("when execution %s ended is not known: %s", record.id, error)
                    return 0
                link.broke(str(error))
            await asyncio.sleep(delay_s)
        return 0

    async def halt(self, record: ExecutionRecord) -> None:
        """Make the engine stop the task; never raises."""
        problem = "execution %s could not be stopped: %s"
        await self._insist(record, problem, lambda: self.engine(record).cancel(record.id))

    async def clean(self, record: ExecutionRecord) -> None:
        """Remove what the engine holds of an ended execution; never raises."""
        problem = "the engine's remains of execution %s could not be removed: %s"
        await self._insist(record, problem, lambda: self.engine(record).clean(record.id))

    async def _insist(
        self, record: ExecutionRecord, problem: str, call: Callable[[], Awaitable[None]]
    ) -> None:
        """Do it once, in bounded time; on a machine that can't be reached, when it can be."""
        link = self.link(record)
        for delay_s in backoff(*RETRY_S):
            await self.reached(record)
            try:
                async with asyncio.timeout(self._settings.cancel_timeout_s):
                    await call()
                return
            except Exception as error:
                _log.warning(problem, record.id, error)
                if link is None or not _may_pass(error):
                    return
                link.broke(str(error))
            await asyncio.sleep(delay_s)


def _may_pass(error: Exception) -> bool:
    """Whether a call to another machine may do better later."""
    return isinstance(error, (NetworkFailure, TimeoutError)) or (
        isinstance(error, BacalhauError) and error.retryable
    )

"""Housekeeping: what engines, executions, inputs and results leave behind goes after its time."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.live.executions import Executions
from bacalhau_jupyter.compute.execution.removing import remove_directory
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.plugins.engine import Engine

_log = logging.getLogger(__name__)

_DIRECTORIES = "removing directories of old executions"


class Housekeeping:
    """Removes what is old.

    Parameters
    ----------
    equipment
        Settings, plug-ins, store, directories, input cache and problems of the node.
    executions
        Those at work; nothing of theirs is touched.

    Attributes
    ----------
    unremovable
        Executions whose directories could not be removed the last time, and why.
    """

    def __init__(self, equipment: Equipment, executions: Executions) -> None:
        self._equipment = equipment
        self._settings = equipment.settings
        self._store = equipment.store
        self._places = equipment.places
        self._problems = equipment.problems
        self._keepers = equipment.plugins.keepers()
        self._executions = executions
        self._sooner = asyncio.Event()
        self.unremovable: dict[str, str] = {}

    async def run(self) -> None:
        """Sweep and tidy again and again, or when told; never returns.

        It is swept once every restored execution is attached or given up.
        """
        interval_s = self._settings.housekeeping_interval_s
        while True:
            if await self._executions.settled(interval_s):
                with self._problems.watching("removing what engines still hold of old executions"):
                    await self._sweep()
            await self.tidy()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._sooner.wait()
            self._sooner.clear()

    def soon(self) -> None:
        """Do it now: an engine that was away may hold something."""
        self._sooner.set()

    async def tidy(self) -> None:
        """Remove directories, logs, inputs and results after their time; failures are reported and skipped."""
        work = [
            (_DIRECTORIES, self._tidy_directories),
            ("removing logs of old executions", self._tidy_logs),
            ("cleaning up the input cache", self._equipment.cache.tidy),
            *(("removing old results", keeper.tidy) for keeper in self._keepers),
        ]
        for task, tidy in work:
            with self._problems.watching(task):
                await tidy()
        if self.unremovable:
            identifier, why = next(iter(self.unremovable.items()))
            more = f" (and {len(self.unremovable) - 1} more)" if len(self.unremovable) > 1 else ""
            self._problems.tell(_DIRECTORIES, f"execution {identifier}: {why}{more}")

    async def _sweep(self) -> None:
        """Remove what engines still hold of executions that are over or unknown."""
        for engine in self._equipment.plugins.working_engines().values():
            try:
                async with asyncio.timeout(self._settings.probe_timeout_s):
                    leftovers = await engine.existing()
            except Exception as error:
                _log.warning("the remains on %s can't be listed: %s", engine.type, error)
                continue
            for identifier in leftovers:
                if identifier not in self._executions:
                    await self._sweep_one(engine, identifier)

    async def _sweep_one(self, engine: Engine, identifier: str) -> None:
        _log.info("removing what %s still holds of execution %s", engine.type, identifier)
        try:
            async with asyncio.timeout(self._settings.cancel_timeout_s):
                await engine.cancel(identifier)
                await engine.clean(identifier)
        except Exception as error:
            _log.warning("execution %s can't be swept: %s", identifier, error)

    async def _tidy_directories(self) -> None:
        before = self._equipment.clock.now_ns() - int(self._settings.directory_retention_s * SECOND)
        await self._remove_directories(before)

    async def _tidy_logs(self) -> None:
        before = self._equipment.clock.now_ns() - int(self._settings.log_retention_s * SECOND)
        while forgotten := await self._store.forget(before, self._settings.log_count):
            for identifier in forgotten:
                with self._problems.watching(f"removing the log of execution {identifier}"):
                    await asyncio.to_thread(self._places.remove_log, identifier)

    async def _remove_directories(self, ended_before_ns: int) -> None:
        """Remove what executions left; what can't be removed now is tried again, and listed until then."""
        left: dict[str, str] = {}
        while ended := await self._store.to_clean(ended_before_ns, skip=len(left)):
            gone = []
            for identifier in ended:
                if problem := await self._remove_directory(identifier):
                    left[identifier] = problem
                else:
                    gone.append(identifier)
            await self._store.cleaned(gone)
        for identifier, problem in left.items():
            if identifier not in self.unremovable:
                _log.warning("the directory of execution %s can't be removed: %s", identifier, problem)
        self.unremovable = left

    async def _remove_directory(self, identifier: str) -> str:
        record = await self._store.get(identifier)
        execution = None if record is None else record.execution
        job = None if execution is None else execution.job
        engine = (
            None if job is None or not job.tasks else self._equipment.plugins.engine(job.task.engine.type)
        )
        return await remove_directory(
            self._places, identifier, execution, engine, self._settings.cancel_timeout_s
        )

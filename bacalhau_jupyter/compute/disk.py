"""A disk that is full: noticed in time, and room made by removing what can be missed."""

from __future__ import annotations

import asyncio
import contextlib

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.live.executions import Executions
from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.models.jobs.units import format_bytes

_ROOM = "reserving disk space"


class DiskRoom:
    """Keeps room on the disk of a node.

    Parameters
    ----------
    equipment
        The reserve, and what can be removed: the files of failed executions, the input cache.
    executions
        Those at work; their files stay.
    database
        It has a reserve of its own.
    """

    def __init__(self, equipment: Equipment, executions: Executions, database: Database) -> None:
        self._equipment = equipment
        self._executions = executions
        self._database = database

    async def watch(self) -> None:
        """Look again and again; never returns."""
        reserve = self._equipment.reserve
        while True:
            await asyncio.sleep(self._equipment.settings.disk_interval_s)
            if reserve.spent or await reserve.found_lacking():
                await self.ensure()
            await self._database.replenish()

    async def ensure(self) -> str:
        """Make room on a full disk; why nothing more can be run, empty when something can."""
        reserve, problems = self._equipment.reserve, self._equipment.problems
        if await reserve.kept():
            problems.clear(_ROOM)
            return ""
        if await reserve.found_lacking():
            await self._make_room()
        if await reserve.kept():
            problems.clear(_ROOM)
            return ""
        free = await asyncio.to_thread(reserve.free)
        data_dir = self._equipment.settings.data_dir
        reason = f"the disk of this node is full ({format_bytes(free)} free in {data_dir})"
        problems.tell(_ROOM, reason)
        return reason

    async def _make_room(self) -> None:
        """Remove what was only kept to be looked at or to save time: failed executions' files, the cache."""
        store, places = self._equipment.store, self._equipment.places
        await self._executions.cleaned_up(self._equipment.settings.stop_timeout_s)
        ended = await store.to_clean(self._equipment.clock.now_ns())
        for identifier in ended:
            if identifier not in self._executions:
                await asyncio.to_thread(places.remove, identifier)
        await self._equipment.cache.clear()
        for identifier in ended:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(places.cut_log, identifier)
        with contextlib.suppress(DatabaseError):
            await store.cleaned([it for it in ended if it not in self._executions])

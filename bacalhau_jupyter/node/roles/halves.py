"""The compute halves of one node process: its own, and in a devstack others, which may come and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.models.errors import BacalhauError, NotFound, ServiceUnavailable
from bacalhau_jupyter.models.records.environments import (
    KnownEnvironment,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.node.roles.compute import ComputeHalf, Place, Surroundings, start_half
from bacalhau_jupyter.node.roles.kept.images import NodeImages, open_stores
from bacalhau_jupyter.plugins.engine import CombinedEngine, Engine, Environments
from bacalhau_jupyter.plugins.source import Packages

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Halves that start or stop at the same time."""


class Halves:
    """Starts, stops and addresses compute halves."""

    def __init__(self) -> None:
        self._halves: dict[str, ComputeHalf] = {}
        self._directories: dict[str, Path] = {}
        self.around: Surroundings

    def __len__(self) -> int:
        """How many halves run."""
        return len(self._halves)

    @property
    def directories(self) -> Iterable[Path]:
        """Where results may lie, also of halves that left."""
        # Threads walk through them, and a half may come meanwhile.
        return tuple(self._directories.values())

    def knows(self, node_id: str) -> bool:
        """Whether a node ID is one of a half, also of one that left."""
        return node_id in self._directories

    def nodes(self) -> dict[str, ComputeNode]:
        """Return the compute nodes by ID."""
        return {node_id: half.node for node_id, half in self._halves.items()}

    def engines(self) -> list[Engine]:
        """Return the engines of all halves; one that hands its tasks to others stands for these."""
        engines = [engine for half in self._halves.values() for engine in half.engines]
        return [
            part
            for engine in engines
            for part in (engine.parts if isinstance(engine, CombinedEngine) else (engine,))
        ]

    def plugin_problems(self) -> dict[str, str]:
        """Return why plug-ins are off."""
        every: dict[str, str] = {}
        for half in self._halves.values():
            every |= half.plugin_problems
        return every

    @property
    def packages(self) -> Packages | None:
        """What keeps Python packages: one store for all halves, so a set is there for each."""
        return next((half.packages for half in self._halves.values() if half.packages is not None), None)

    @property
    def environments(self) -> Environments | None:
        """What keeps Python environments: every half that shows them to its jobs."""
        return _EveryKeeper(self._keepers) if self._keepers() else None

    @property
    def images(self) -> NodeImages:
        """The images of every half."""
        return NodeImages(
            lambda: open_stores(engine for half in self._halves.values() for engine in half.engines)
        )

    def _keepers(self) -> list[Environments]:
        return [half.environments for half in self._halves.values() if half.environments is not None]

    def remember(self, node_id: str, data_dir: Path) -> None:
        """Know of the directory of a half that left in an earlier process."""
        self._directories[node_id] = data_dir

    async def start(self, places: Sequence[Place]) -> None:
        """Start halves, some at a time.

        Raises
        ------
        BacalhauError
            One can't start; the others may run.
        """
        # The first one's packages are for all.
        for place in places[:1]:
            await self._start(place)
        slots = asyncio.Semaphore(AT_ONCE)

        async def start(place: Place) -> None:
            async with slots:
                await self._start(place)

        done = await asyncio.gather(*(start(place) for place in places[1:]), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    async def _start(self, place: Place) -> None:
        source: Any = next(
            (half.packages_source for half in self._halves.values() if half.packages_source), None
        )
        self._directories[place.node_id] = place.data_dir
        self._halves[place.node_id] = await start_half(self.around, place, source)

    async def stop(self, node_id: str) -> None:
        """Stop one half as if its process had been asked to end.

        Raises
        ------
        NotFound
            None of this name runs.
        """
        half = self._halves.pop(node_id, None)
        if half is None:
            raise NotFound(f"no compute half {node_id} runs in this process")
        await half.stop()

    async def close(self) -> None:
        """Stop all."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def stop(node_id: str) -> None:
            async with slots:
                await self.stop(node_id)

        await asyncio.gather(*(stop(node_id) for node_id in list(self._halves)))

    async def idle(self) -> None:
        """Wait until no half runs anything, or cleans up after it."""
        await asyncio.gather(*(half.node.idle() for half in self._halves.values()))

    # ---- api.services.kept.DiskCleaner

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs; return what is gone."""
        return await self._each(lambda node: node.clear_results(older_than_s))

    async def remove_results(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions; return what is gone."""
        return await self._each(lambda node: node.remove_results(execution_ids))

    async def clear_cache(self) -> DiskUsage:
        """Remove the inputs that are kept to be shared; return what is gone."""
        return await self._each(lambda node: node.clear_cache())

    async def clear_packages(self) -> DiskUsage:
        """Remove Python packages that no job uses; return what is gone."""
        return DiskUsage() if self.packages is None else await self.packages.clear()

    async def _each(self, clear: Callable[[ComputeNode], Awaitable[DiskUsage]]) -> DiskUsage:
        """Ask one half after the other; some may come and go meanwhile."""
        usages = []
        for node_id, half in list(self._halves.items()):
            try:
                usages.append(await clear(half.node))
            except ServiceUnavailable:
                if node_id in self._halves:
                    raise
        return _sum(usages)


class _EveryKeeper:
    """Registers environments with each half; they are on the same disk (``api.services.kept.Environments``)."""

    def __init__(self, keepers: Callable[[], list[Environments]]) -> None:
        self._keepers = keepers

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Keep an environment with each; what one refuses, all refuse."""
        answers = [await keeper.register(description) for keeper in self._keepers()]
        if not answers:
            raise BacalhauError("no node of this process shows Python environments to its jobs")
        return answers[0]

    async def registered(self) -> list[KnownEnvironment]:
        """Return every environment that is kept."""
        for keeper in self._keepers():
            return await keeper.registered()
        return []


def _sum(usages: Sequence[DiskUsage]) -> DiskUsage:
    return DiskUsage(bytes=sum(each.bytes for each in usages), count=sum(each.count for each in usages))

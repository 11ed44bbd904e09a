"""Hosts whose Docker Engine has jobs of this node already, as another host or as this machine: they take none.

Its CPUs and GPUs would count twice. Such a host may have been away when it was added, or was written into the file by
hand; so each is compared when its engine is known, and before it takes its first job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.ways import SharedEngine
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.plugins.link import HostStatus, LinkedEngine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Twin:
    """Who has an engine already.

    Attributes
    ----------
    name
        The host; empty for this machine.
    """

    name: str = ""

    def sentence(self, address: str) -> str:
        """Say that an address leads to the same engine."""
        if self.name:
            return f"{address} is the same Docker Engine as host {self.name}"
        return f"{address} is the Docker Engine of this machine"

    @property
    def hint(self) -> str:
        """Say how jobs get there."""
        return f"it can be used as --host {self.name}" if self.name else "jobs run there without --host"


class Twins:
    """Compares the engines of hosts with each other, and with the one of this machine.

    Of two ways to one engine the host takes jobs that stands first in the file; this machine goes before all hosts.

    Parameters
    ----------
    hosts
        Returns the hosts in the order of the file.
    halves
        The compute halves of this process.
    """

    def __init__(self, hosts: Callable[[], Sequence[Host]], halves: Halves, problems: Problems) -> None:
        self._hosts = hosts
        self._halves = halves
        self._problems = problems
        self._identities: dict[Host, str] = {}
        self._followed: dict[Host, _Followed] = {}
        self._same: dict[tuple[Host, Host | None], bool] = {}
        self._following_here: asyncio.Task[None] | None = None
        self._here: SharedEngine | None = None
        self._here_id = ""

    def start(self) -> None:
        """Begin to follow the engine of this machine."""
        self._following_here = self._task("comparing Docker hosts with this machine", self._follow_here)

    async def close(self) -> None:
        """Compare no more."""
        tasks = [each.task for each in self._followed.values()]
        for host in list(self._followed):
            self.leave(host)
        if self._following_here is not None:
            self._following_here.cancel()
            tasks.append(self._following_here)
        await asyncio.gather(*tasks, return_exceptions=True)

    def follow(self, host: Host) -> None:
        """Compare a host with those before it whenever something is new of one of them, until it is left."""
        news = asyncio.Event()

        def moved(status: HostStatus) -> None:
            if status.is_ready:
                self._tell_all()

        async def work() -> None:
            await host.started(None)
            if not isinstance(host.engine, SharedEngine):
                host.set_twin("")
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._identify(host, host.engine))
                tasks.create_task(self._compare(host, news))

        task = self._task(f"comparing host {host.name}", work)
        self._followed[host] = _Followed(task, news, host.way.link.watch(moved))

    def leave(self, host: Host) -> None:
        """Forget a host that was removed; another one may take jobs in its place."""
        if (followed := self._followed.pop(host, None)) is not None:
            followed.task.cancel()
            followed.unwatch()
            self._problems.clear(followed.task.get_name())
        self._identities.pop(host, None)
        self._same = {pair: is_same for pair, is_same in self._same.items() if host not in pair}
        self._tell_all()

    async def twin_of(self, host: Host) -> Twin | None:
        """Return who has the engine of a new host already.

        Raises
        ------
        BacalhauError
            Its engine can't be compared.
        """
        if isinstance(host.engine, SharedEngine):
            self._identities[host] = await host.engine.identity()
        return await self._twin(host, self._hosts())

    def _task(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(self._problems.keep(name, work), name=name)

    def _tell_all(self) -> None:
        for followed in self._followed.values():
            followed.news.set()

    async def _identify(self, host: Host, engine: SharedEngine) -> None:
        before: str | None = None
        while True:
            before = self._identities[host] = await engine.identity(before)
            self._tell_all()

    async def _follow_here(self) -> None:
        """Follow the engine of this machine: all compute halves that have one have the same."""
        before: str | None = None
        while True:
            engine = self._here = next(filter(_is_here, self._halves.engines()), None)
            if engine is None:
                return
            before = self._here_id = await engine.identity(before)
            self._tell_all()

    async def _compare(self, host: Host, news: asyncio.Event) -> None:
        while True:
            await news.wait()
            news.clear()
            if host not in self._identities:
                continue
            hosts = self._hosts()
            try:
                twin = await self._twin(host, hosts[: hosts.index(host)] if host in hosts else hosts)
            except BacalhauError as error:
                log.info("host %s was not compared with others: %s", host.name, error)
                twin = None
            host.set_twin("" if twin is None else twin.sentence(host.way.address), twin.hint if twin else "")

    async def _twin(self, host: Host, others: Sequence[Host]) -> Twin | None:
        engine, identity = host.engine, self._identities.get(host, "")
        if not identity or not isinstance(engine, SharedEngine):
            return None
        is_alike = self._here is not None and identity == self._here_id
        if is_alike and await self._is_same(engine, (host, None), self._here):
            return Twin()
        for other in others:
            if other is host or identity != self._identities.get(other):
                continue
            is_ready = other.status.state is HostState.READY
            if (is_ready or (host, other) in self._same) and await self._is_same(
                engine, (host, other), other.engine
            ):
                return Twin(other.name)
        return None

    async def _is_same(self, engine: SharedEngine, pair: tuple[Host, Host | None], there: object) -> bool:
        """Compare two engines with the same ID, once: machines that were cloned have the same, too."""
        if pair not in self._same:
            self._same[pair] = await engine.is_same_as(there)
        return self._same[pair]


@dataclass(frozen=True)
class _Followed:
    task: asyncio.Task[None]
    news: asyncio.Event
    unwatch: Callable[[], None]


def _is_here(engine: object) -> TypeGuard[SharedEngine]:
    return isinstance(engine, SharedEngine) and isinstance(engine, LinkedEngine) and engine.link is None

"""The Docker hosts of a node: adds them, removes them, and follows the file that lists them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, EngineError
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.host_orders import (
    AddHost,
    CleanHost,
    HostCleaning,
    HostProgress,
    HostTest,
    Leaving,
    PushImage,
    RemoveHost,
)
from bacalhau_jupyter.models.records.hosts import HostRecord, Hosts
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.leaving import Departures
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.register import Register, is_same_way
from bacalhau_jupyter.node.hosts.trials import READY_S, Trials
from bacalhau_jupyter.node.hosts.twins import Twins
from bacalhau_jupyter.node.hosts.verbs import clean, push
from bacalhau_jupyter.node.hosts.ways import Ways
from bacalhau_jupyter.node.hosts.written.entries import HostEntry, entry_of
from bacalhau_jupyter.node.hosts.written.file import MOST_HOSTS, NAME, HostsFile
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.roles.places import Places

log = logging.getLogger(__name__)

COUNTED_S = 10.0
"""Seconds that a removal waits until it is known which jobs a host has."""


class HostService:
    """The hosts (``api.services.hosts.HostService``).

    Parameters
    ----------
    file
        Lists them.
    ways
        Makes the ways to them.
    halves, places
        The compute halves of this process, and where they lie.
    problems
        Where it is shown what is wrong with a host's half or the file.
    forget
        Makes the orchestrator forget a node that is gone for good.
    stop
        Makes it stop a job, for a reason.
    """

    def __init__(
        self,
        file: HostsFile,
        ways: Ways,
        halves: Halves,
        places: Places,
        *,
        clock: Clock,
        problems: Problems,
        forget: Callable[[str], Awaitable[None]],
        stop: Callable[[str, str], Awaitable[object]],
    ) -> None:
        self._ways = ways
        self._halves = halves
        self._places = places
        self._clock = clock
        self._problems = problems
        self._adding: set[str] = set()
        self._watching: asyncio.Task[None] | None = None
        self._trials = Trials(ways)
        self._forget = forget
        self._register = Register(file, self._take_up, self._drop, problems)
        self._twins = Twins(self._register.every, halves, problems)
        self._departures = Departures(self._gone, forget, stop, problems)

    def __len__(self) -> int:
        """How many hosts there are."""
        return len(self._register)

    async def resume(self) -> None:
        """Take up the hosts of the file; waits for none of them."""
        for name, node_id, directory in await asyncio.to_thread(self._places.former_hosts):
            # Results of jobs that ran on a host that was removed are still served.
            self._halves.remember(node_id, directory)
            log.debug("results of host %s are at %s", name, directory)
        self._twins.start()
        await self._register.read()
        self._watching = asyncio.create_task(
            self._problems.keep(f"watching {NAME}", self._register.watch), name="watching hosts"
        )

    async def close(self) -> None:
        """Close every way; what runs on the hosts goes on."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._departures.close()
        await self._twins.close()
        hosts = self._register.clear()
        ends = await asyncio.gather(*(host.stop() for host in hosts), return_exceptions=True)
        for host, end in zip(hosts, ends, strict=True):
            if isinstance(end, Exception):
                log.warning("host %s did not stop well: %s", host.name, sentence(end))

    # ---- what people ask

    async def list(self) -> Hosts:
        """Return all hosts, from memory, and the Docker contexts that could be added."""
        contexts, aliases = await asyncio.to_thread(lambda: (self._ways.contexts(), self._ways.aliases()))
        hosts = sorted(self._register.every(), key=lambda host: host.name)
        taken = {host.entry.context for host in hosts}
        return Hosts(
            items=[host.record() for host in hosts],
            contexts=[context for context in contexts if context.name not in taken],
            aliases=aliases,
            problems=list(self._register.problems.values()),
            file=str(self._register.path),
        )

    def show(self, name: str) -> HostRecord:
        """Return one host; raises NotFound."""
        return self._register.host(name).record()

    async def try_out(self, order: AddHost) -> HostTest:
        """Try the way to a host that is not there yet, step by step; nothing is written.

        Raises
        ------
        BadRequest
            The order makes no sense.
        """
        return await self._trials.examine(self._planned(order))

    async def test(self, name: str) -> HostTest:
        """Try the way to a host step by step, and connect at once where that was waiting for its turn."""
        host = self._register.host(name)
        host.way.link.again()
        host.machine.again()
        return await self._trials.examine(host.entry, host)

    async def add(self, order: AddHost) -> HostRecord:
        """Let a host run jobs, now and after each restart.

        Raises
        ------
        BacalhauError
            It can't be reached, or is there already; then nothing has changed.
        """
        entry = self._planned(order)
        self._adding.add(entry.name)
        try:
            if order.trust:
                await self._trials.trust(entry, order.trust)
            host = self._make(entry)
            is_new = not await asyncio.to_thread(host.directory.exists)
            try:
                await host.way.link.start()
                if not order.anyway:
                    await self._trials.ready(host)
                host.offer()
                if not order.anyway:
                    await host.started(READY_S)
                    await self._check_other(host)
                # A host that takes long to answer keeps nobody from changing another one.
                async with self._register.changing():
                    await self._register.put(entry)
                    self._register.keep(host)
            except BaseException:
                self._twins.leave(host)
                await host.stop()
                with contextlib.suppress(BacalhauError):
                    await self._forget(host.node_id)
                if is_new:
                    await asyncio.to_thread(remove_tree, host.directory)
                raise
            self._twins.follow(host)
            return host.record()
        finally:
            self._adding.discard(entry.name)

    async def pause(self, name: str, *, paused: bool) -> HostRecord:
        """Let a host take no new jobs, or take them again."""
        async with self._register.changing():
            host = self._register.host(name)
            if host.is_removing and not paused:
                raise Conflict(f"host {name} is being removed", component=COMPONENT)
            entry = dataclasses.replace(host.entry, paused=paused)
            await self._register.put(entry)
            host.entry = entry
            host.changed()
            if not paused:
                host.way.link.again()
            return host.record()

    def retry(self, name: str) -> HostRecord:
        """Try now to connect, where that waits for its turn."""
        host = self._register.host(name)
        host.way.link.again()
        host.machine.again()
        return host.record()

    async def remove(self, name: str, order: RemoveHost) -> HostRecord:
        """Let a host run no more jobs; what becomes of those that are there, the order says.

        Raises
        ------
        Conflict
            Jobs run there and the order does not say what becomes of them, or they can't be cancelled now.
        """
        try:
            leaving = Leaving(order.jobs)
        except ValueError as error:
            raise BadRequest(
                f"{shown(order.jobs[:40])!r} does not say what becomes of the jobs",
                hint="wait, cancel or leave",
                component=COMPONENT,
            ) from error
        if leaving is not Leaving.LEAVE:
            # Only its compute half knows which jobs are there.
            await self._register.host(name).started(COUNTED_S)
        async with self._register.changing():
            host = self._register.host(name)
            self._departures.check(host, leaving)
            # A node that is restarted meanwhile gives it nothing new.
            removing = leaving is Leaving.WAIT or host.entry.removing
            paused = dataclasses.replace(host.entry, paused=True, removing=removing)
            await self._register.put(paused)
            host.entry = paused
            return await self._departures.begin(host, leaving)

    async def push(self, name: str, order: PushImage) -> HostRecord:
        """Copy an image of this machine's Docker Engine to a host."""
        host = self._register.host(name)
        await push(host, order)
        return host.record()

    async def stop_push(self, name: str) -> HostRecord:
        """End what is being copied to a host; nothing of it is left there."""
        host = self._register.host(name)
        if not await host.copying.stop():
            raise Conflict(f"nothing is being copied to host {name}", component=COMPONENT)
        return host.record()

    def progress(self, name: str) -> AsyncIterator[HostProgress]:
        """Tell how far it is what is copied to a host, now and at each change; does not end."""
        return self._register.host(name).copying.follow()

    async def clean(self, name: str, order: CleanHost) -> HostCleaning:
        """Return what nodes have on a host, and remove what some left there."""
        host = self._register.host(name)
        if alive := [each for each in order.remove if each in self._halves.nodes() and each != host.node_id]:
            raise Conflict(
                f"node {alive[0]} is at work in this process: it cleans up by itself",
                hint=f"`host clean {name}` lists what others have there",
                component=COMPONENT,
            )
        return await clean(host, order)

    # ---- inside

    # ---- inside

    def _planned(self, order: AddHost) -> HostEntry:
        entry = entry_of(order)
        if entry.name in self._register or entry.name in self._adding:
            raise Conflict(
                f"there is a host {entry.name} already",
                hint=f"choose another --name, or host remove {entry.name}",
                component=COMPONENT,
            )
        if len(self._register) + len(self._adding) >= MOST_HOSTS:
            raise Conflict(
                f"there are {MOST_HOSTS} hosts already, and no more are taken", component=COMPONENT
            )
        if self._places.host_node_id(entry.name) in self._halves.nodes():
            raise Conflict(
                f"a node of this machine is called {self._places.host_node_id(entry.name)} already",
                hint="choose another --name",
                component=COMPONENT,
            )
        return entry

    def _make(self, entry: HostEntry) -> Host:
        way = self._ways.way(entry, self._places.host_node_id(entry.name))
        return Host(entry, way, self._halves, self._places, clock=self._clock, problems=self._problems)

    async def _check_other(self, host: Host) -> None:
        """Refuse a second way to an engine that has jobs of this node already."""
        try:
            async with asyncio.timeout(READY_S):
                twin = await self._twins.twin_of(host)
        except TimeoutError:
            # It is compared before its first job.
            return
        except EngineError as error:
            raise BadRequest(
                f"host {host.name} was not added: {error.message}", hint=error.hint, component=COMPONENT
            ) from error
        if twin is not None:
            raise Conflict(twin.sentence(host.way.address), hint=twin.hint, component=COMPONENT)
        host.set_twin("")

    async def _gone(self, host: Host) -> None:
        """A host was removed for good."""
        await self._register.take_out(host.name)
        self._twins.leave(host)

    async def _drop(self, host: Host) -> None:
        """A host is not in the file any more, or is reached in another way."""
        self._departures.drop(host.name)
        self._twins.leave(host)
        await host.stop()

    async def _take_up(self, entry: HostEntry) -> None:
        """Carry out what the file says of a host now."""
        before = self._register.find(entry.name)
        if before is not None and is_same_way(before.entry, entry):
            if before.entry == entry:
                return
            was_removing, before.entry = before.entry.removing, entry
            if was_removing != entry.removing:
                self._departures.drop(entry.name)
                before.is_removing = False
            before.changed()
            if entry.removing and not before.is_removing:
                self._departures.resume(before)
            return
        host = self._make(entry)
        if before is not None:
            await self._drop(before)
        self._register.keep(host)
        await host.start()
        self._twins.follow(host)
        if entry.removing:
            self._departures.resume(host)

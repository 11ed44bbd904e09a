"""The hosts of a node: follows the file that lists them, and writes there what the verbs change."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import difflib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_jupyter.compute.output.watch import DirectoryWatch
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.written.entries import HostEntry
from bacalhau_jupyter.node.hosts.written.file import NAME, HostsFile, Written

log = logging.getLogger(__name__)

LOOK_S = (30.0, 2.0)
"""Seconds after which the file is looked at where the system tells of changes, and where it does not."""
_LONGEST_NAME = 80
_NAMES_SHOWN = 5
_FILE_TASK = f"reading {NAME}"


def _meant(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if names:
        return f"host list shows which there are: {', '.join(names[:_NAMES_SHOWN])}"
    return "host add ssh://alice@gpu1 adds one"


class Register:
    """The hosts by name, in the order of the file.

    Parameters
    ----------
    file
        Lists them.
    take_up
        Called with an entry that is new or has changed.
    drop
        Called with a host that is in the file no more, after it was taken from the register.
    problems
        Where it is shown what is wrong with the file.

    Attributes
    ----------
    problems
        What is wrong with entries of the file, by their names.
    """

    def __init__(
        self,
        file: HostsFile,
        take_up: Callable[[HostEntry], Awaitable[None]],
        drop: Callable[[Host], Awaitable[None]],
        problems: Problems,
    ) -> None:
        self.problems: dict[str, str] = {}
        self._file = file
        self._take_up = take_up
        self._drop = drop
        self._task_problems = problems
        self._hosts: dict[str, Host] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._changing = asyncio.Lock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._hosts)

    def __contains__(self, name: str) -> bool:
        """Whether there is one of a name."""
        return name in self._hosts

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file.path

    def every(self) -> list[Host]:
        """Return all hosts, in the order of the file."""
        return list(self._hosts.values())

    def find(self, name: str) -> Host | None:
        """Return a host; None where there is none of that name."""
        return self._hosts.get(name)

    def host(self, name: str) -> Host:
        """Return a host.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        host = self._hosts.get(name)
        if host is None:
            raise NotFound(
                f"there is no host {shown(name[:_LONGEST_NAME])}",
                hint=_meant(name, sorted(self._hosts)),
                component=COMPONENT,
            )
        return host

    def keep(self, host: Host) -> None:
        """Enter a host, in place of one of the same name; the file is not touched."""
        self._hosts[host.name] = host

    def clear(self) -> list[Host]:
        """Forget all hosts, and return them."""
        hosts = self.every()
        self._hosts.clear()
        return hosts

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Let nobody else change the file, and take up first what a person has just written.

        A verb would write the old entry over it.
        """
        async with self._changing:
            await self._catch_up()
            yield

    async def put(self, entry: HostEntry) -> None:
        """Write an entry; only inside `changing`, and raises as `HostsFile.put`."""
        await asyncio.to_thread(self._file.put, entry)
        self._stamp = self._file.stamp()
        self.problems.pop(entry.name, None)

    async def take_out(self, name: str) -> None:
        """Remove a host from the file, then from here; raises as `HostsFile.remove`."""
        await asyncio.to_thread(self._file.remove, name)
        self._hosts.pop(name, None)
        self._stamp = self._file.stamp()

    async def read(self) -> None:
        """Carry out what the file says now; each host by itself, and what is wrong in it changes nothing."""
        self._stamp = self._file.stamp()
        written = await asyncio.to_thread(self._file.read)
        self.problems = dict(written.problems)
        self._tell(written)
        if "" in written.problems and not written.entries:
            # Nobody meant to remove all hosts by a slip of the pen.
            return
        named = {*written.entries, *written.problems}
        for name in [name for name in self._hosts if name not in named]:
            await self._drop(self._hosts.pop(name))
        for entry in written.entries.values():
            try:
                await self._take_up(entry)
            except BacalhauError as error:
                log.warning("host %s: %s", entry.name, error.message)
                self.problems[entry.name] = error.message

    async def watch(self) -> None:
        """Follow the file; does not return."""
        if sys.platform != "linux":
            while True:
                await self._look()
                await asyncio.sleep(LOOK_S[1])
        with DirectoryWatch(self._file.path.parent).following(NAME) as changed:
            while True:
                changed.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S[0]):
                        await changed.wait()

    async def _look(self) -> None:
        if self._file.stamp() != self._stamp:
            async with self._changing:
                await self._catch_up()

    async def _catch_up(self) -> None:
        if self._file.stamp() != self._stamp:
            await self.read()

    def _tell(self, written: Written) -> None:
        if not written.problems:
            self._task_problems.clear(_FILE_TASK)
            return
        self._task_problems.tell(_FILE_TASK, "; ".join(written.problems.values()))


def is_same_way(before: HostEntry, now: HostEntry) -> bool:
    """Whether a person has changed at most whether jobs are taken there."""
    return dataclasses.replace(before, paused=now.paused, removing=now.removing) == now

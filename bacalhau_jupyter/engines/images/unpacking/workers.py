"""The processes that unpack, as the event loop sees them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from bacalhau_jupyter.engines.images.unpacking.orders import HOSTILE, NO_ROOM, Order, Reply
from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.models.errors import IOFailure

IDLE_S = 10.0
"""Seconds that a process without work stays."""
_LINE = 64 << 20
# Where this process finds its modules, the worker does, too: isolated, it would not look at PYTHONPATH.
_CODE = """
import runpy, sys
sys.path[:] = sys.argv[2:]
del sys.argv[2:]
runpy.run_module("bacalhau_jupyter.engines.images.unpacking.worker", run_name="__main__")
"""
_DROPPED = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"})


Count = Callable[[int, int], None]


def _uncounted(done: int, unpacked: int) -> None:
    """Take no notice."""


class Workers:
    """A few processes for orders, started when there is work; they belong to one event loop.

    Parameters
    ----------
    root
        The directory below which they may write.
    most
        How many there are at a time.
    """

    def __init__(self, root: Path, most: int | None = None) -> None:
        self._root = root
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._slots = asyncio.Semaphore(most or max(2, min(4, os.cpu_count() or 2)))
        self._leaving: dict[asyncio.subprocess.Process, asyncio.TimerHandle] = {}

    async def do(self, order: Order, count: Count = _uncounted) -> Reply:
        """Have an order carried out; return the last line of the answer.

        When the caller is cancelled, the process is ended: what it made is the caller's to remove.

        Parameters
        ----------
        count
            Gets the compressed bytes that were read so far, and the bytes that were unpacked, or are about to
            be. What it raises ends the process, and is raised.

        Raises
        ------
        IOFailure
            It did not work, for the reason that is told.
        """
        async with self._slots:
            process = await self._process()
            try:
                reply = await self._ask(process, order, count)
            except BaseException:
                await self._end(process)
                raise
            self._rest(process)
        if reply.error:
            failed = IOFailure(
                reply.error,
                hint=reply.hint,
                code=reply.code or None,
                component="Images",
                fails_execution=reply.code in (HOSTILE, NO_ROOM),
                retryable=reply.is_full,
            )
            raise failed from (OSError(errno.ENOSPC, "no space left") if reply.is_full else None)
        return reply

    async def close(self) -> None:
        """End all processes."""
        for process in list(self._all):
            await self._end(process)

    async def _ask(self, process: asyncio.subprocess.Process, order: Order, count: Count) -> Reply:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            await process.stdin.drain()
        while line := await process.stdout.readline():
            reply = msgspec.json.decode(line, type=Reply)
            if reply.is_last:
                return reply
            count(reply.done, reply.size)
        code = await process.wait()
        raise IOFailure(
            f"the process that unpacks images ended with exit code {code}",
            hint="the system may have ended it for want of memory: try again",
            component="Images",
            retryable=True,
        )

    async def _process(self) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            self._leaving.pop(process).cancel()
            if process.returncode is None:
                return process
            self._all.discard(process)
        environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _CODE,
            str(self._root),
            *sys.path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            env=environment,
            start_new_session=True,
        )
        self._all.add(process)
        return process

    def _rest(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        self._idle.append(process)
        self._leaving[process] = loop.call_later(IDLE_S, self._leave, process)

    def _leave(self, process: asyncio.subprocess.Process) -> None:
        self._leaving.pop(process, None)
        if process in self._idle:
            self._idle.remove(process)
        # It ends with its standard input, and asyncio collects it.
        self._all.discard(process)
        if process.stdin is not None:
            process.stdin.close()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        if (timer := self._leaving.pop(process, None)) is not None:
            timer.cancel()
        await end(process)

"""The ssh process that stays connected to a host: started so that it ends with us, and heard out when it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence

from bacalhau_jupyter.engines.docker.link.ssh.command import IS_UP
from bacalhau_jupyter.lib.programs.calls import end, exited
from bacalhau_jupyter.lib.programs.tied import tied

KEPT_BYTES = 4096
"""Of what it complains about: a line for each connection that the host refuses."""
_END_S = 3.0


class Master:
    """One such process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._complaints = bytearray()
        self._up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reading = [asyncio.create_task(self._read_stdout()), asyncio.create_task(self._read_stderr())]

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> Master:
        """Start it; the first word is the path of ssh.

        Raises
        ------
        OSError
            It can't be started.
        """
        process = await asyncio.create_subprocess_exec(
            # Asked to end, it removes its control socket.
            *tied(command, signal.SIGTERM),
            env=env,
            # An interrupt at the terminal is for the node. And without a terminal, nothing can ask there.
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    @property
    def complaints(self) -> str:
        """The last lines that it wrote to stderr."""
        return self._complaints.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    async def up(self) -> bool:
        """Wait until it is connected; False when it has ended instead."""
        return await asyncio.shield(self._up)

    async def ended(self) -> int:
        """Wait until it has ended and all it said was read; return its exit status."""
        status = await exited(self._process)
        # A program that it has started (of a jump) may hold its pipes longer.
        await asyncio.wait(self._reading, timeout=_END_S)
        return status

    async def stop(self) -> None:
        """End it; it is gone afterwards."""
        await end(self._process, _END_S)
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _read_stdout(self) -> None:
        stream = self._process.stdout
        assert stream is not None, "it was started with a pipe"
        begun = bytearray()
        try:
            while piece := await stream.read(1024):
                if not self._up.done():
                    begun += piece
                    if IS_UP.encode() in begun:
                        self._up.set_result(True)
        finally:
            if not self._up.done():
                self._up.set_result(False)

    async def _read_stderr(self) -> None:
        stream = self._process.stderr
        assert stream is not None, "it was started with a pipe"
        while piece := await stream.read(4096):
            self._complaints += piece
            del self._complaints[:-KEPT_BYTES]

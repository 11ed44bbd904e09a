"""Connections to a Docker Engine through ``docker system dial-stdio``, where an ssh server forwards no sockets.

A socket appears here as with a forward; each of its connections is one ssh session.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from bacalhau_jupyter.engines.docker.link.ssh.words import last_words
from bacalhau_jupyter.lib.programs.calls import end

OPEN_TIMEOUT_S = 30.0
_PIECE = 1 << 18
_MOST_BEFORE = 1 << 16
_END_S = 1.0

Commands = Callable[[str], list[str]]


class Bridge:
    """A socket whose connections go through sessions.

    Parameters
    ----------
    path
        Where it appears.
    socket
        The engine's socket on the host.
    through, direct
        Make the command that runs something on the host: through the process that is connected, or by a connection
        of its own, for when the server lets that process have no further session.
    """

    def __init__(
        self, path: Path, socket: str, *, through: Commands, direct: Commands, env: Mapping[str, str]
    ) -> None:
        self._path, self._socket = path, socket
        self._through, self._direct, self._env = through, direct, env
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.complaint = ""

    async def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_PIECE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """End all connections and their sessions."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # `close` cancels; the server that started this task would report it as an error.
            with contextlib.suppress(asyncio.CancelledError):
                # One that was accepted just before `close`, which did not see it, begins after that.
                if not self._is_closed:
                    await self._join(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for make in (self._through, self._direct):
            process = await self._begin(make)
            if process is not None:
                try:
                    await _copy_both_ways(reader, writer, process)
                finally:
                    await end(process, _END_S)
                return

    async def _begin(self, make: Commands) -> asyncio.subprocess.Process | None:
        """Start a session, and return it once it is connected to the engine; None where it does not get there."""
        mark = secrets.token_hex(8)
        # Login shells of all kinds read this alike; what one prints by itself comes before the mark.
        remote = f"sh -c 'echo {mark}; exec docker -H unix://{self._socket} system dial-stdio'"
        process = await asyncio.create_subprocess_exec(
            *make(remote),
            env=self._env,
            limit=_PIECE,
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        is_open = False
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                is_open = await _reaches(process, mark)
                if not is_open:
                    assert process.stderr is not None
                    self.complaint = last_words(
                        (await process.stderr.read(_MOST_BEFORE)).decode(errors="replace")
                    )
        except (TimeoutError, OSError) as error:
            self.complaint = str(error)
        finally:
            if not is_open:
                await end(process)
        return process if is_open else None


async def _reaches(process: asyncio.subprocess.Process, mark: str) -> bool:
    stream = process.stdout
    assert stream is not None
    read_bytes = 0
    while read_bytes < _MOST_BEFORE and (line := await stream.readline()):
        read_bytes += len(line)
        if line.strip() == mark.encode():
            return True
    return False


async def _copy_both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, process: asyncio.subprocess.Process
) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    towards = asyncio.create_task(_copy(reader, process.stdin))
    ignored = asyncio.create_task(_drain(process.stderr))
    try:
        await _copy(process.stdout, writer)
    finally:
        for task in (towards, ignored):
            task.cancel()
        await asyncio.gather(towards, ignored, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass

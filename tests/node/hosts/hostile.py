"""An engine that answers what it likes: no real one does, so this one is a fake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

INFO: dict[str, Any] = {
    "ID": "hostile",
    "Name": "far",
    "ServerVersion": "28.0.0",
    "OSType": "linux",
    "Architecture": "x86_64",
    "NCPU": 4,
    "MemTotal": 8 << 30,
    "DockerRootDir": "/var/lib/docker",
    "SystemTime": "2026-11-30T12:00:00Z",
    "Runtimes": {},
}
VERSION = {"ApiVersion": "1.43", "MinAPIVersion": "1.24", "Version": "28.0.0", "Os": "linux", "Arch": "amd64"}
_VERSIONED = re.compile(r"/v1\.\d+")


class HostileEngine:
    """Answers by path; ``answers`` wins over the usual ones.

    Attributes
    ----------
    answers
        Path without its version → what comes back: plain data, or a function that writes what it likes.
    sent
        Bytes that were written without end.
    dripping
        Answers that were begun and take for ever.
    """

    def __init__(self, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self.answers: dict[str, object] = {}
        self.sent = 0
        self.dripping = 0

    def info(self, **members: object) -> None:
        """Say something else of itself."""
        self.answers["/info"] = INFO | members

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer calls, one after the other."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                if length is not None:
                    await reader.readexactly(int(length[1]))
                _, target, version = head.partition("\r\n")[0].split(" ")
                await self._answer(_VERSIONED.sub("", target.partition("?")[0]), writer)
                if version == "HTTP/1.0":
                    break
        writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        usual: Mapping[str, object] = {
            "/_ping": "OK",
            "/version": VERSION,
            "/info": INFO,
            "/containers/json": [],
            "/volumes": {"Volumes": []},
        }
        answer = self.answers.get(path, usual.get(path))
        if path == "/events" and answer is None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await writer.drain()
            await asyncio.Event().wait()
        if callable(answer):
            await answer(writer)
            return
        status = "200 OK" if answer is not None else "404 Not Found"
        body = json.dumps(answer if answer is not None else {"message": f"no {path}"}).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    def redirect(self, path: str) -> Answer:
        """Send whoever asks to another path."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

        return answer

    async def endless(self, writer: asyncio.StreamWriter) -> None:
        """Write JSON that never ends."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        piece = b'"' + b"x" * 65533 + b'",'
        while True:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)

    async def drip(self, writer: asyncio.StreamWriter) -> None:
        """Write a byte now and then, for ever."""
        self.dripping += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.5)


@asynccontextmanager
async def hostile_engine(directory: Path) -> AsyncIterator[HostileEngine]:
    """Give one that listens at a socket."""
    engine = HostileEngine(directory / "hostile.sock")
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await engine.serve(reader, writer)
        tasks.discard(task)
        writer.transport.abort()

    server = await asyncio.start_unix_server(serve, str(directory / "hostile.sock"))
    try:
        yield engine
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""A TCP relay in front of a server that counts what comes back, and can hang up in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit


class Relay:
    """Listens on a loopback port in a thread of its own; close it.

    Attributes
    ----------
    received
        Bytes that came from the server.
    cut_after
        Hang up, once, when so many more bytes have come; None: never.
    cut_sent_after
        The same for bytes that went to the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 80)
        self.received = 0
        self.cuts = 0
        self.cut_after: int | None = None
        self.cut_sent_after: int | None = None
        self.sent = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(60)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(*self._target)
            try:
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pump(reader, back, count=False)),
                        asyncio.create_task(self._pump(there, writer, count=True)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                back.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not count:
                    self.sent += len(data)
                    if self.cut_sent_after is not None:
                        self.cut_sent_after -= len(data)
                        if self.cut_sent_after < 0:
                            self.cut_sent_after, self.cuts = None, self.cuts + 1
                            writer.transport.abort()
                            return
                if count:
                    self.received += len(data)
                    if self.cut_after is not None:
                        self.cut_after -= len(data)
                        if self.cut_after < 0:
                            self.cut_after, self.cuts = None, self.cuts + 1
                            writer.transport.abort()
                            return
                writer.write(data)
                await writer.drain()

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)
        self._loop.close()

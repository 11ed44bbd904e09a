"""The yardstick of the API figures: bare aiohttp, bare SQLite with group commit, nothing of ours.

``PUT /jobs`` stores the body durably (WAL, ``synchronous=FULL``) and answers its number; ``GET /alive`` answers at
once. Run as ``python -m benchmarks.api.bare PORT-FILE DATABASE``; it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import sqlite3
import sys
import threading
from pathlib import Path

from aiohttp import web


class GroupCommit:
    """One thread that commits everything that arrived meanwhile in one transaction."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[tuple[bytes, asyncio.Future[int]]] = queue.SimpleQueue()
        self._path = path
        threading.Thread(target=self._work, daemon=True).start()

    async def put(self, body: bytes) -> int:
        """Store ``body``; return its number once it is on disk."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._queue.put((body, future))
        return await future

    def _work(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body BLOB)")
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty() and len(batch) < 1000:
                batch.append(self._queue.get())
            database.execute("BEGIN")
            numbers = [
                database.execute("INSERT INTO jobs (body) VALUES (?)", (body,)).lastrowid or 0
                for body, _ in batch
            ]
            database.execute("COMMIT")
            done = [(future, number) for (_, future), number in zip(batch, numbers, strict=True)]
            self._loop.call_soon_threadsafe(_settle, done)


def _settle(done: list[tuple[asyncio.Future[int], int]]) -> None:
    for future, number in done:
        if not future.done():
            future.set_result(number)


async def main(port_file: str, database: str) -> None:
    """Serve until standard input ends."""
    store = GroupCommit(database, asyncio.get_running_loop())

    async def submit(request: web.Request) -> web.Response:
        number = await store.put(await request.read())
        return web.Response(body=b'{"JobID":"%d"}\n' % number, content_type="application/json")

    async def alive(request: web.Request) -> web.Response:
        return web.Response(body=b'{"Status":"OK"}\n', content_type="application/json")

    app = web.Application()
    app.add_routes([web.put("/jobs", submit), web.get("/alive", alive)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, listener).start()
    Path(port_file).write_text(str(listener.getsockname()[1]))
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))

"""A load generator that costs little: raw keep-alive connections, prepared requests, no HTTP library.

Run as a process of its own (``python -m benchmarks.api.load``), because clients in the server's process would be part
of what is measured. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """What to send: ``requests`` in all, over ``clients`` connections, one in flight on each."""

    port: int
    method: str
    path: str
    clients: int
    requests: int
    body: str = ""
    authorization: str = ""

    def message(self) -> bytes:
        """Return the request's bytes."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        if self.authorization:
            head += f"Authorization: {self.authorization}\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body.encode())}\r\n"
        return (head + "\r\n" + self.body).encode()


class _Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last one is complete."""

    def __init__(self, shared: _Run) -> None:
        self._shared = shared
        self._buffer = b""
        self._needed = -1
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def start(self) -> None:
        """Send the first request."""
        self._next()

    def _next(self) -> None:
        if self._shared.left <= 0:
            self._transport.close()
            self._shared.finish(self)
            return
        self._shared.left -= 1
        self._sent = time.perf_counter()
        self._transport.write(self._shared.message)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:") + 15
            self._needed = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._needed:
            self._shared.times.append(time.perf_counter() - self._sent)
            if not self._buffer.startswith(b"HTTP/1.1 200"):
                self._shared.failures.append(self._buffer[:300].decode(errors="replace"))
            self._buffer, self._needed = b"", -1
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.finish(self)


class _Run:
    """What the connections share."""

    def __init__(self, load: Load) -> None:
        self.message = load.message()
        self.left = load.requests
        self.times: list[float] = []
        self.failures: list[str] = []
        self.clients: set[_Client] = set()
        self.done = asyncio.Event()

    def finish(self, client: _Client) -> None:
        """Note that a connection is over."""
        self.clients.discard(client)
        if not self.clients:
            self.done.set()


async def drive(load: Load, timeout_s: float = 120) -> dict[str, Any]:
    """Send the load and return rate (per second), p50 and p95 (milliseconds), and failures."""
    loop = asyncio.get_running_loop()
    run = _Run(load)
    for _ in range(load.clients):
        _, client = await loop.create_connection(lambda: _Client(run), "127.0.0.1", load.port)
        run.clients.add(client)
    started = time.perf_counter()
    for client in tuple(run.clients):
        client.start()
    async with asyncio.timeout(timeout_s):
        await run.done.wait()
    took = time.perf_counter() - started
    times = sorted(run.times)
    return {
        "rate": len(times) / took,
        "p50_ms": statistics.median(times) * 1e3,
        "p95_ms": times[int(len(times) * 0.95)] * 1e3,
        "failures": len(run.failures),
        "first_failure": run.failures[0] if run.failures else "",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(drive(Load(**json.loads(sys.argv[1]))))) + "\n")

"""Which connections of a job the node takes, with real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.network import accepting
from bacalhau_jupyter.engines.network.accepting import BURST, RATE, Accepting
from tests.services.waiting import settled, until

HELD = 4


@dataclass
class Job:
    """Where a job connects to, and what the node has taken of it."""

    listener: socket.socket
    accepting: Accepting
    served: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())


@pytest.fixture
async def job() -> AsyncIterator[Job]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.served += 1
        await it.let_go.wait()
        writer.write(b"done")

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    it = Job(listener, Accepting(serve, HELD, 65536))
    running = asyncio.create_task(it.accepting.run(listener))
    yield it
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await it.accepting.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def until_served(job: Job, number: int) -> None:
    await until(lambda: job.served >= number)


async def test_a_connection_is_closed_also_where_all_ends_as_it_is_taken(job: Job) -> None:
    client = job.connect()
    for _ in range(1000):
        if job.accepting._tasks:
            break
        await asyncio.sleep(0)
    assert job.accepting._tasks and not job.served
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always")
        await job.accepting.close()
        gc.collect()
    client.close()
    assert [str(each.message) for each in left_open] == []


async def test_a_flood_of_connections_takes_a_bounded_number_of_descriptors(job: Job) -> None:
    before = descriptors()
    flood = [job.connect() for _ in range(40)]
    await until_served(job, HELD)
    assert await settled(lambda: job.served) == HELD
    assert descriptors() <= before + len(flood) + HELD
    # Those that waited get their turn.
    job.let_go.set()
    await until_served(job, len(flood))
    for client in flood:
        assert await asyncio.to_thread(client.recv, 4) == b"done"
        client.close()


async def test_a_client_that_reads_nothing_holds_no_place_for_long(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "FLUSH_S", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        job.served += 1
        writer.write(bytes(50_000_000))
        writer.close()

    job.accepting._serve = serve
    deaf = [job.connect() for _ in range(HELD * 2)]
    await until_served(job, len(deaf))
    for client in deaf:
        client.close()


async def test_a_flood_of_connections_is_slowed_down_and_a_burst_is_not(job: Job) -> None:
    """Counted on a clock of the test's own: how far behind the last of many connections is put."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(BURST - 1):
        await job.accepting.turn()
    assert job.accepting._free_at <= loop.time(), "a burst waits for nothing"
    waiting = [asyncio.ensure_future(job.accepting.turn()) for _ in range(500)]
    await asyncio.sleep(0)
    assert job.accepting._free_at >= begun + (500 - 1) / RATE
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

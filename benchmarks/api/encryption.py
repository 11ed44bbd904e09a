"""What HTTPS costs: a new connection, and a request on one that lives. CPU time of one process with both sides."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.node.node import Node
from benchmarks.harness import JOBS, Row
from tests.services.node import running_node

PATH = f"{JOBS}?limit=10"
HANDSHAKE_MS, REQUEST_RATIO = 5.0, 1.1


def measure(quick: bool) -> list[Row]:
    """Compare with a node without TLS in the same process."""
    return asyncio.run(_measure(100 if quick else 1000))


async def _measure(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        async with (
            _served(f"{directory}/encrypted", encrypted=True) as encrypted,
            _served(f"{directory}/plain", encrypted=False) as plain,
        ):
            context = ssl.create_default_context(cafile=encrypted.record.ca_file)
            urls = (encrypted.url + PATH, plain.url + PATH)
            connections = [await _connections(url, context, rounds) for url in urls]
            requests = await _requests(urls, context, rounds)
    return [
        Row("new connection and request: HTTPS", connections[0], "ms", connections[1], "HTTP", HANDSHAKE_MS),
        Row(
            "request on a live connection: HTTPS",
            requests[0],
            "ms",
            requests[1],
            "HTTP",
            REQUEST_RATIO,
            target_is_ratio=True,
        ),
    ]


@asynccontextmanager
async def _served(directory: str, *, encrypted: bool) -> AsyncIterator[Node]:
    values = {"DataDir": directory, "API.Port": 0, "API.TLS.SelfSigned": encrypted, "Logging.Level": "warn"}
    config = Config({"Orchestrator.Enabled": True, "Compute.Enabled": True, **values})
    async with running_node(config) as node:
        yield node


async def _connections(url: str, context: ssl.SSLContext, rounds: int) -> float:
    started = time.process_time()
    for _ in range(rounds // 5):
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
            await answer.read()
    return (time.process_time() - started) * 1000 / (rounds // 5)


async def _requests(urls: tuple[str, str], context: ssl.SSLContext, rounds: int) -> tuple[float, float]:
    """Take turns, so that whatever else happens meets both."""
    spent = [0.0, 0.0]
    async with aiohttp.ClientSession() as session:
        for number in range(2 * rounds):
            started = time.process_time()
            async with session.get(urls[number % 2], ssl=context) as answer:
                await answer.read()
            spent[number % 2] += time.process_time() - started
    return spent[0] * 1000 / rounds, spent[1] * 1000 / rounds

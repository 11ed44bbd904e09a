"""A peer that is not ours: a bare NATS client that sends what a test says, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bacalhau_jupyter.transport.nats.frames import Ack, read
from tests.transport.carriers import WAIT_S


class Peer:
    """A connected client.

    Parameters
    ----------
    client
        The connection.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Msg:
        """Publish, and return the answer."""
        return await self.client.request(subject, data, timeout=WAIT_S, headers=headers)

    async def ack(self, subject: str, data: bytes) -> Ack:
        """Publish a data-plane message, and return how it was taken."""
        return read((await self.ask(subject, data)).data, Ack)

    async def listen(self, subject: str) -> asyncio.Queue[Msg]:
        """Return where the messages of a subject arrive from now on."""
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        await self.client.subscribe(subject, cb=arrived.put)
        # The flush of nats-py alone may overtake the subscription.
        await self.client._flush_pending(force_flush=True)
        await self.client.flush()
        return arrived


async def next_of(arrived: asyncio.Queue[Msg]) -> Msg:
    """Return the next message."""
    return await asyncio.wait_for(arrived.get(), WAIT_S)


@asynccontextmanager
async def peer(url: str, token: str) -> AsyncIterator[Peer]:
    """Connect a peer for the duration."""
    client = await nats.connect(url, token=token, connect_timeout=int(WAIT_S), allow_reconnect=False)
    try:
        yield Peer(client)
    finally:
        await client.close()

"""A connection that is closed at any moment is gone."""

from __future__ import annotations

import asyncio

import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.nats_py import Transport
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.services.nats import PlainNatsServer


@pytest.mark.parametrize("moment", [b"INFO ", b"PONG"], ids=["greeted", "let in"])
async def test_a_connection_that_is_closed_just_when_the_server_answers_is_gone(
    no_leaks: None, nats_server: PlainNatsServer, monkeypatch: pytest.MonkeyPatch, moment: bytes
) -> None:
    """`asyncio.wait_for`, by which nats-py waits for each line, drops a cancellation that comes with the line."""
    settings = NatsSettings((nats_server.url,), "n-1", token=nats_server.token, connect_timeout_s=60)
    connection = Connection(settings, SystemClock())
    read, closing = Transport.readline, list[asyncio.Task[None]]()

    async def closed_with_the_line(transport: Transport) -> bytes:
        line = await read(transport)
        if line.startswith(moment) and not closing:
            closing.append(asyncio.create_task(connection.close()))
        return line

    monkeypatch.setattr(Transport, "readline", closed_with_the_line)
    await connection.open()
    (task,) = closing
    ended, _ = await asyncio.wait([task], timeout=60)
    assert ended == {task}
    assert not connection.state.is_up
    assert not connection.is_open

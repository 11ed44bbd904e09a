"""Connections that the orchestrator's side ends: of floods, of a deleted node, and of one that has too many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from typing import Any

import nats.errors
import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    HeartbeatRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.orchestrator import NatsOrchestratorEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.nats.subjects import node_inbox, reports
from bacalhau_jupyter.transport.server.door import penalties as door_penalties
from bacalhau_jupyter.transport.server.door.bouncer import MOST_CONNECTIONS
from bacalhau_jupyter.transport.server.door.loads import Count, too_much
from bacalhau_jupyter.transport.server.door.penalties import FIRST_S, FORGIVEN_S, LIMIT_S, Penalties
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from tests.services.waiting import until
from tests.transport.carriers import no_logs, nothing, take_message
from tests.transport.server.conftest import TOKEN, Servers

PATIENCE_S = 90
SECOND = 10**9


def own(node_id: str) -> dict[str, Any]:
    return {"name": node_id, "user": node_id, "password": secrets.token_hex(32)}


async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse(last_compute_seq_num=1)


def orchestrator_of(server: NatsServer) -> NatsOrchestratorEnd:
    access = server.access
    settings = NatsSettings(
        (access.url,),
        "o",
        user=access.user,
        password=access.password,
        inbox_prefix=access.inbox_prefix,
        connect_timeout_s=PATIENCE_S,
    )
    return NatsOrchestratorEnd(settings, SystemClock(), cutter=server.cut)


async def answered(node: NatsComputeEnd) -> ControlResponse:
    """Ask until there is an answer: what the orchestrator had not read when it connected again is lost."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(DeliveryError):
                return await node.request(HeartbeatRequest(node_id="n-good"))
            await until(lambda: node.state.is_up, PATIENCE_S)


async def flood(server: NatsServer, node_id: str) -> None:
    """Send as much as the server takes, until it takes no more of this client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        greeting = {"auth_token": TOKEN, "name": node_id, "verbose": False, "lang": "x", "version": "1"}
        writer.write(b"CONNECT " + json.dumps(greeting).encode() + b"\r\nPING\r\n")
        while await reader.readline() != b"PONG\r\n":
            pass
        size = 4 << 20
        message = f"PUB {reports(node_id)} {size}\r\n".encode() + bytes(size) + b"\r\n"
        while not reader.at_eof():
            writer.write(message)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


async def test_who_floods_is_cut_off_and_stays_outside_while_others_are_served(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not over before both were turned away, however busy the machine is.
    monkeypatch.setattr(door_penalties, "FIRST_S", LIMIT_S)
    server = await servers.started()
    orchestrator = orchestrator_of(server)
    await orchestrator.serve(answer, take_message)
    settings = NatsSettings(
        (server.url,),
        "n-good",
        TOKEN,
        "n-good",
        secrets.token_hex(32),
        node_inbox("n-good"),
        connect_timeout_s=PATIENCE_S,
        request_timeout_s=5.0,
    )
    node = NatsComputeEnd("n-good", settings, SystemClock())
    await node.connect("n-good", nothing, no_logs)
    # Without the cut this never returns: the server takes what one sends, and cuts the orchestrator instead.
    async with asyncio.timeout(PATIENCE_S):
        await flood(server, "n-bad")
    for name in ("n-bad", "n-other-of-the-same-machine"):
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await servers.node(server, {"name": name})
    assert await answered(node) == HeartbeatResponse(last_compute_seq_num=1)
    # A node that was known before is let in again, from the same address.
    await node.close()
    node = NatsComputeEnd("n-good", settings, SystemClock())
    await node.connect("n-good", nothing, no_logs)
    await node.close()
    await orchestrator.close()


async def test_without_the_cut_the_same_flood_ends_the_connection_of_the_orchestrator(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The control: the orchestrator is never behind.
    monkeypatch.setattr("bacalhau_jupyter.transport.server.door.bouncer.BEHIND", 1 << 60)
    server = await servers.started()
    orchestrator = orchestrator_of(server)
    await orchestrator.serve(answer, take_message)
    since_ns = orchestrator.state.since_ns
    flooding = asyncio.create_task(flood(server, "n-bad"))
    try:
        await until(lambda: orchestrator.state.since_ns != since_ns, PATIENCE_S)
        assert not flooding.done()
        other = await servers.node(server, {"name": "n-other-of-the-same-machine"})
        assert other.is_connected
    finally:
        flooding.cancel()
        await asyncio.wait([flooding])
        await orchestrator.close()


async def test_a_node_that_is_cut_loses_its_connections_and_others_keep_theirs(servers: Servers) -> None:
    server = await servers.started()
    mine = own("n-1")
    first, second = await servers.node(server, mine), await servers.node(server, mine)
    other = await servers.node(server, {"name": "n-2"})
    await server.cut("n-1")
    await until(lambda: first.is_closed and second.is_closed, PATIENCE_S)
    assert other.is_connected
    await servers.node(server, mine)


async def test_a_node_with_too_many_connections_loses_the_oldest(servers: Servers) -> None:
    server = await servers.started()
    mine = own("n-1")
    clients = [await servers.node(server, mine) for _ in range(MOST_CONNECTIONS + 1)]
    await until(lambda: clients[0].is_closed, PATIENCE_S)
    assert all(client.is_connected for client in clients[1:])
    # One that ended by itself does not count.
    await clients[1].close()
    await until(lambda: len(server.connections_of("n-1")) == MOST_CONNECTIONS - 1, PATIENCE_S)
    await servers.node(server, mine)
    assert all(client.is_connected for client in clients[2:])


async def test_without_that_limit_a_node_could_hold_any_number_of_connections(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bacalhau_jupyter.transport.server.door.bouncer.MOST_CONNECTIONS", 1 << 20)
    server = await servers.started()
    mine = own("n-1")
    clients = [await servers.node(server, mine) for _ in range(MOST_CONNECTIONS + 1)]
    await clients[-1].settle()
    assert len(server.connections_of("n-1")) == MOST_CONNECTIONS + 1
    assert all(client.is_connected for client in clients)


def test_a_flood_is_told_from_a_node_that_has_much_to_report() -> None:
    before = [Count(1, 50_000, 10**10), Count(2, 0, 0), Count(3, 0, 0)]
    after = [
        Count(1, 50_200, 10**10 + 500_000),
        Count(2, 5000, 600_000),
        Count(3, 3, 24 << 20),
        Count(4, 9, 9 << 20),
    ]
    assert too_much(before, after, 1.0) == [2, 3, 4]
    assert too_much(after, after, 1.0) == []


def test_who_floods_again_stays_outside_longer_until_it_is_forgotten() -> None:
    penalties, now = Penalties(), 0
    lengths = []
    for _ in range(9):
        penalties.add("n", now)
        penalties.add("n", now + 1)
        lengths.append(float(penalties.objection(["x", "n"], now + 1).split()[-2]))
        now += int(lengths[-1] * SECOND)
        assert penalties.objection(["n"], now) == ""
    assert lengths == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    penalties.add("n", now + int(FORGIVEN_S * SECOND) + 1)
    assert f"for {FIRST_S:.0f} s" in penalties.objection(["n"], now + int(FORGIVEN_S * SECOND) + 2)

"""Secrets of nodes of ours, and who is refused, at a real server."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from typing import Any

import nats.errors
import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.door.doorkeeper import secret_hash
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from tests.clock import ManualClock
from tests.services.waiting import until
from tests.transport.server.conftest import TOKEN, Servers

PATIENCE_S = 60
SECRET = secrets.token_hex(32)


def own(secret: str = SECRET, node_id: str = "n-1") -> dict[str, Any]:
    return {"name": node_id, "user": node_id, "password": secret}


async def refused(servers: Servers, server: NatsServer, options: dict[str, Any], token: str = TOKEN) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await servers.node(server, options, token=token)


async def test_the_first_secret_of_an_id_is_kept_and_no_other_works(servers: Servers) -> None:
    server = await servers.started()
    await servers.node(server, own())
    assert await servers.identities.get("n-1") == secret_hash("n-1", SECRET)
    await refused(servers, server, own(secrets.token_hex(32)))
    await refused(servers, server, {"name": "n-1"})
    await servers.node(server, own())


async def test_an_enrolled_node_is_known_after_a_restart(servers: Servers) -> None:
    server = await servers.started()
    await servers.node(server, own())
    await server.stop()
    server = await servers.started()
    await refused(servers, server, own(secrets.token_hex(32)))
    await servers.node(server, own())


async def test_of_two_that_enrol_an_id_at_once_one_gets_it(servers: Servers) -> None:
    server = await servers.started()
    both = [servers.node(server, own(secrets.token_hex(32))) for _ in range(2)]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert len([it for it in results if isinstance(it, nats.errors.Error)]) == 1


@pytest.mark.parametrize("options", [own(), {"name": "n-1"}], ids=["ours", "official"])
@pytest.mark.parametrize("token", ["", "a wrong token"])
async def test_without_the_token_nobody_comes_in_or_enrols(
    servers: Servers, options: dict[str, Any], token: str
) -> None:
    server = await servers.started()
    await refused(servers, server, options, token)
    assert await servers.identities.get("n-1") is None


async def test_an_id_of_the_own_machine_can_not_be_used_from_outside(servers: Servers) -> None:
    server = await servers.started(is_reserved={"n-near"}.__contains__)
    await refused(servers, server, {"name": "n-near"})
    await refused(servers, server, own(node_id="n-near"))


async def test_our_own_users_need_their_passwords(servers: Servers) -> None:
    server = await servers.started()
    for user in ("door.keeper", server.access.user):
        await refused(servers, server, {"user": user, "password": "p" * 43})


async def test_without_a_token_official_nodes_bring_none_and_our_ids_are_kept(servers: Servers) -> None:
    server = await servers.started(token="")
    await servers.node(server, {"name": "n-official"}, token="")
    await servers.node(server, own(), token="")
    await refused(servers, server, own(secrets.token_hex(32)), token="")
    await refused(servers, server, {"name": "n-1"}, token="")


async def test_a_refusal_is_told_once_and_gives_no_secret_away(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bacalhau_jupyter")
    clock = ManualClock()
    server = await servers.started(clock=clock)
    wrong = "wrong " * 8
    for _ in range(3):
        await refused(servers, server, own(), token=wrong)
    reason = "Node 'n-1' from 127.0.0.1 is refused: its token is wrong."
    lines = [
        record for record in caplog.records if record.levelno >= logging.INFO and reason in record.message
    ]
    assert len(lines) == 1
    assert not [secret for secret in (wrong, SECRET, TOKEN, server.access.password) if secret in caplog.text]


async def test_what_can_not_be_looked_up_is_refused_and_the_door_stays_open(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await servers.started()

    async def broken(node_id: str) -> str | None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(servers.identities, "get", broken)
        await refused(servers, server, own())
    assert "what is kept of nodes can't be asked" in caplog.text
    await servers.node(server, own())


async def test_many_nodes_come_at_once(servers: Servers) -> None:
    server = await servers.started()
    nodes = [servers.node(server, own(secrets.token_hex(32), f"n-{number}")) for number in range(100)]
    clients = await asyncio.gather(*nodes)
    assert all(client.is_connected for client in clients)


async def test_after_a_crash_of_the_server_nodes_come_back_by_themselves(servers: Servers) -> None:
    server = await servers.started()
    settings = NatsSettings((server.url,), "n-1", token=TOKEN, user="n-1", password=SECRET)
    connection = Connection(settings, SystemClock())
    try:
        await connection.open()
        await until(lambda: connection.state.is_up, PATIENCE_S)
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not connection.state.is_up, PATIENCE_S)
        await until(lambda: server.state.is_up and server.pid != pid, PATIENCE_S)
        await until(lambda: connection.state.is_up, PATIENCE_S)
    finally:
        await connection.close()

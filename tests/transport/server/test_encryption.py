"""TLS of the link, and proxies in front of it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from tests.services.waiting import until
from tests.transport.server.conftest import TOKEN, Servers

PATIENCE_S = 60


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


class Pair:
    """A certificate for another name than the loopback address, its key, and the file of who issued it."""

    def __init__(self, directory: Path, authority: trustme.CA) -> None:
        self.ca_file = directory / "ca.pem"
        self.cert_file = directory / "cert.pem"
        self.key_file = directory / "key.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self.issue(authority)

    def issue(self, authority: trustme.CA) -> None:
        leaf = authority.issue_cert("orchestrator.example")
        for path, blob in ((self.key_file, leaf.private_key_pem), (self.cert_file, leaf.cert_chain_pems[0])):
            draft = path.with_suffix(".new")
            blob.write_to_path(draft)
            Path(draft).replace(path)

    @property
    def settings(self) -> dict[str, Path]:
        return {"cert_file": self.cert_file, "key_file": self.key_file}


@pytest.fixture
def pair(tmp_path: Path, authority: trustme.CA) -> Pair:
    return Pair(tmp_path, authority)


def info(server: NatsServer) -> dict[str, object]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        line = connection.makefile("rb").readline()
    plain: dict[str, object] = json.loads(line.removeprefix(b"INFO "))
    return plain


def shown_certificate(server: NatsServer) -> bytes:
    """Return the certificate of a server, asked for as one that begins with TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="orchestrator.example") as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True) or b""


async def state_of(server: NatsServer, **settings: object) -> str:
    """Connect as a node; return why not, or nothing."""
    whole = NatsSettings((server.url,), "n-1", token=TOKEN, connect_timeout_s=PATIENCE_S, **settings)  # type: ignore[arg-type]
    connection = Connection(whole, SystemClock())
    try:
        await connection.open()
        return connection.state.reason
    finally:
        await connection.close()


@pytest.mark.parametrize("tls_first", [False, True])
async def test_a_node_that_knows_the_authority_comes_in_by_either_handshake(
    servers: Servers, pair: Pair, tls_first: bool
) -> None:
    server = await servers.started(**pair.settings)
    name = "orchestrator.example"
    assert not await state_of(server, ca_file=pair.ca_file, tls_name=name, tls_first=tls_first)


async def test_a_node_that_does_not_know_the_authority_stays_out(servers: Servers, pair: Pair) -> None:
    server = await servers.started(**pair.settings)
    assert "can't be trusted" in await state_of(server, tls_name="orchestrator.example")


async def test_the_orchestrator_trusts_that_very_certificate_and_no_other(
    servers: Servers, pair: Pair, authority: trustme.CA, tmp_path: Path
) -> None:
    server = await servers.started(**pair.settings)
    context = server.access.tls
    assert context is not None
    own = {"user": server.access.user, "password": server.access.password, "tls_first": True}
    assert not await state_of(server, tls_context=context, **own)
    pair.issue(authority)
    other = await servers.started(directory=tmp_path / "other", **pair.settings)
    assert "can't be trusted" in await state_of(other, tls_context=context, tls_first=True)


async def test_a_replaced_certificate_is_shown_without_a_restart(
    servers: Servers, pair: Pair, authority: trustme.CA
) -> None:
    server = await servers.started(**pair.settings, check_certificates_s=0.1)
    before, pid = shown_certificate(server), server.pid
    pair.issue(authority)
    await until(lambda: shown_certificate(server) != before, PATIENCE_S)
    assert server.pid == pid
    assert server.state.is_up
    assert not await state_of(server, ca_file=pair.ca_file, tls_name="orchestrator.example")


async def test_a_key_of_another_certificate_is_told(
    servers: Servers, pair: Pair, authority: trustme.CA
) -> None:
    authority.issue_cert("x").private_key_pem.write_to_path(pair.key_file)
    with pytest.raises(ConfigurationError, match="nats-server does not accept its configuration"):
        await servers.started(**pair.settings)


async def test_behind_a_proxy_plain_text_is_taken_and_tls_is_spoken_of(servers: Servers) -> None:
    server = await servers.started(behind_tls_proxy=True)
    greeting = info(server)
    assert greeting.get("tls_available") is True
    assert not greeting.get("tls_required")
    assert not await state_of(server)


async def test_an_advertised_address_and_the_name_are_told_to_clients(servers: Servers) -> None:
    server = await servers.started(advertise="orchestrator.example:4222", max_payload=2 << 20)
    greeting = info(server)
    assert greeting["server_name"] == "n-orchestrator"
    assert greeting["max_payload"] == 2 << 20


async def test_a_server_that_is_full_says_so(servers: Servers) -> None:
    # Our own two connections are among the three.
    server = await servers.started(max_connections=3)
    await servers.node(server, {"name": "n-0"})
    # The server closes as it speaks: where the end arrives first, its word is lost.
    async with asyncio.timeout(PATIENCE_S):
        while "is full: it takes no more connections" not in (reason := await state_of(server)):
            assert "hung up" in reason

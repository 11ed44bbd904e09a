"""A whole node with `API.TLS.AutoCert` and a real ACME server: issued, served, renewed; nothing is dropped."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.tls.acme import renewal
from tests.services.node import running_node
from tests.services.node_fixtures import node_config
from tests.services.pebble import Pebble
from tests.services.waiting import until

__all__ = ["node_config"]

HOST = "live.example.org"
ALIVE = "/api/v1/agent/alive"
LIMIT_S = 60

Configure = Callable[..., Config]


@pytest.fixture
def configured(node_config: Configure, pebble: Pebble) -> Configure:
    """Configurations of nodes on the port that the server validates."""

    def make(**keys: Any) -> Config:
        ours = {"AutoCert": HOST, "AutoCertHTTPPort": pebble.http_port, **keys}
        values = {f"API.TLS.{name}": value for name, value in ours.items()}
        return node_config(**{"API.Port": pebble.tls_port, **pebble.settings(), **values})

    return make


def trusting(*ca_files: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for file in ca_files:
        context.load_verify_locations(file)
    return context


class Caller:
    """Asks a node by the name that the certificate is for; every failure is one too many."""

    def __init__(self, node: Node, context: ssl.SSLContext) -> None:
        self._port = node.record.port
        self._context = context
        self.answers = 0
        self.connections = 0
        self.certificates: list[bytes] = []

    async def ask(self, times: float) -> None:
        """Ask that many times on one connection."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname=HOST
        )
        self.connections += 1
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if certificate not in self.certificates:
            self.certificates.append(certificate)
        while times > 0:
            times -= 1
            writer.write(f"GET {ALIVE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
            self.answers += 1
        writer.close()
        await writer.wait_closed()

    async def come_back(self) -> None:
        """Ask again and again, each time on a new connection."""
        while True:
            await self.ask(1)


async def test_no_request_fails_while_certificates_are_issued_and_renewed(
    configured: Configure, pebble: Pebble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "SHARE", -1.0)  # As soon as there is one, it is due.
    async with running_node(configured(AutoCertProfile="short")) as node:
        assert node.encryption is not None
        context = trusting(pebble.root_file, Path(node.encryption.ca_file))
        context.check_hostname = False  # At first the node's own authority answers, for its own names.
        steady, fresh = Caller(node, context), Caller(node, context)
        work = [steady.ask(math.inf), fresh.come_back(), fresh.come_back()]
        tasks = [asyncio.create_task(each) for each in work]
        renewed = asyncio.create_task(
            until(
                lambda: len(fresh.certificates) >= 4 and min(steady.answers, fresh.connections) > 20, LIMIT_S
            )
        )
        done, _ = await asyncio.wait([*tasks, renewed], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A connection lives on with the certificate that it began with.
        assert (steady.connections, len(steady.certificates)) == (1, 1)
        assert node.problems.every() == []


async def test_each_name_gets_its_own_certificate_and_a_restart_orders_nothing(
    configured: Configure, pebble: Pebble, tmp_path: Path
) -> None:
    config = configured(AutoCert=f"{HOST},second.example.org")
    cache = tmp_path / "repo" / "autocert-cache"
    async with running_node(config) as node:
        await until(lambda: (cache / HOST).exists(), LIMIT_S)
        await _check(node, pebble)
        # Clients of this machine trust the node's own authority, and never ask by the other name.
        record = json.loads((tmp_path / "repo" / "node.json").read_text())
        assert record["ca_file"] == node.encryption.ca_file  # type: ignore[union-attr]
    issued = (cache / HOST).read_bytes()
    orders = pebble.log().count("Issued certificate")
    async with running_node(config) as node:
        await _check(node, pebble)
        assert node.problems.every() == []
    assert pebble.log().count("Issued certificate") == orders
    assert (cache / HOST).read_bytes() == issued


async def _check(node: Node, pebble: Pebble) -> None:
    assert node.encryption is not None
    root, own = trusting(pebble.root_file), trusting(Path(node.encryption.ca_file))
    for name, context in ((HOST, root), ("second.example.org", root), ("localhost", own), ("127.0.0.1", own)):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", node.record.port, ssl=context, server_hostname=name
        )
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_node_whose_server_is_down_starts_and_says_so(configured: Configure, pebble: Pebble) -> None:
    nowhere = f"https://127.0.0.1:{pebble.http_port}/dir"
    async with running_node(configured(AutoCertDirectory=nowhere)) as node:
        await until(lambda: bool(node.problems.every()), LIMIT_S)
        (problem,) = node.problems.every()
        assert (problem.task, "can't be reached" in problem.message) == (renewal.TASK, True)
        context = trusting(Path(node.encryption.ca_file))  # type: ignore[union-attr]
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(node.url + ALIVE) as answer,
        ):
            assert answer.status == 200


@pytest.mark.parametrize("name", ["*.example.org", "node.example.org.", "node.example.org ", "localhost"])
async def test_a_node_does_not_start_with_a_name_that_nobody_certifies(
    configured: Configure, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.AutoCert can't get a certificate for"):
        async with running_node(configured(AutoCert=name)):
            pass


async def test_an_ordered_certificate_wins_over_files(
    configured: Configure, pebble: Pebble, tmp_path: Path
) -> None:
    config = configured(CertFile=str(tmp_path / "missing.pem"), KeyFile=str(tmp_path / "missing.key"))
    async with running_node(config):
        await until(lambda: (tmp_path / "repo" / "autocert-cache" / HOST).exists(), LIMIT_S)

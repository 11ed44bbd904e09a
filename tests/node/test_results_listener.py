"""``Publishers.Types.Local.Port``: a listener that serves signed results, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.addresses import LinkAddress
from tests.node.test_node import client, noop, result_url, run
from tests.services.node import running_node
from tests.services.ports import free_port

MakeConfig = Callable[..., Config]


async def raw(port: int, target: str) -> bytes:
    """Send a request line as it is: a client library would tidy the path."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    try:
        return (await reader.read()).partition(b"\r\n")[0]
    finally:
        writer.close()


async def test_a_port_that_is_set_serves_signed_results_and_nothing_else(node_config: MakeConfig) -> None:
    port = free_port()
    config = node_config(Publishers__Types__Local__Port=port)
    async with running_node(config) as node, client(node) as session:
        url = await result_url(session, await run(session, noop(Publisher={"Type": "local"})))
        assert url.startswith(f"http://127.0.0.1:{port}/")
        # Without a header, as downloaders ask; and in parts.
        async with aiohttp.request("GET", url) as answer:
            assert answer.status == 200
            assert (await answer.read()).startswith(b"\x1f\x8b")
        async with aiohttp.request("GET", url, headers={"Range": "bytes=0-1"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"\x1f\x8b")
        path = urlsplit(url).path
        for target in (
            path,
            f"{path}?expires=9999999999&signature=00",
            f"{path.rpartition('/')[0]}/../../../api.key",
            f"{path.rpartition('/')[0]}/%2e%2e%2f%2e%2e%2fapi.key?{urlsplit(url).query}",
            f"//{path}",
            "/",
            "/api/v1/agent/alive",
            "/api/v1/orchestrator/jobs",
            "/api/v1/agent/config",
            "http://169.254.169.254/latest",
            "/\x00",
        ):
            status = await raw(port, target)
            assert status.split(b" ")[1][:1] == b"4", (target, status)
        async with aiohttp.request(
            "PUT", f"http://127.0.0.1:{port}/api/v1/orchestrator/jobs", json=noop()
        ) as answer:
            assert answer.status in (404, 405)
    with pytest.raises(ConnectionRefusedError):
        await raw(port, "/")


async def test_a_port_that_is_taken_stops_the_start_with_one_sentence(node_config: MakeConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            async with running_node(node_config(Publishers__Types__Local__Port=port)):
                pass
    assert str(caught.value) == f"local results can't be served: port {port} is in use on 127.0.0.1"
    assert "Publishers.Types.Local.Port" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("10.0.0.7", "0.0.0.0"),
        ("results.example.org", "0.0.0.0"),
        ("fd00::1", "::"),
    ],
)
def test_it_listens_on_loopback_exactly_where_links_name_that(address: str, host: str) -> None:
    links = LinkAddress.parse(address, 7000)
    assert (links.listens, links.listening_host) == (True, host)


def test_links_to_a_proxy_bind_nothing_and_uploads_go_to_the_api() -> None:
    proxy = LinkAddress.parse("https://results.example.org", 8443)
    assert not proxy.listens
    assert proxy.of_api() == proxy
    base = "http://localhost:1234"
    assert LinkAddress.parse("127.0.0.1", 7000).of_api().applied_to(base) == base
    assert LinkAddress.parse("box.lan", 7000).of_api().applied_to(base) == "http://box.lan:1234"

"""The link of a node, with real servers: opened, changed, closed, refused, and open again after a restart."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import BacalhauError, Conflict
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.wire.messages import HandshakeRequest, HandshakeResponse
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.transport.base import DeliveryError, Envelope
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.node.test_node import MakeConfig, client
from tests.services.nats import PlainNatsServer
from tests.services.node import running_node
from tests.services.ports import set_default_port
from tests.services.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(300), pytest.mark.usefixtures("own_port")]

CLUSTER = "/api/v1/cluster"
Answer = dict[str, Any]


async def ask(session: aiohttp.ClientSession, verb: str = "", status: int = 200, **body: Any) -> Answer:
    """Show the cluster, or open or close it."""
    method = "POST" if verb else "GET"
    async with session.request(method, f"{CLUSTER}{verb and '/'}{verb}", json=body or None) as answer:
        text = await answer.text()
        assert answer.status == status, text
        plain: Answer = await answer.json()
    return plain


@asynccontextmanager
async def embedded(config: Any) -> AsyncIterator[tuple[Node, aiohttp.ClientSession]]:
    async with running_node(config, embedded=True) as node, client(node) as session:
        yield node, session


def token_of(node: Node) -> str:
    return node.repo.cluster_token_file.read_text().strip()


async def enters(url: str, token: str = "", ca_file: Path | None = None, *, tls: bool = False) -> bool:
    """Whether a node with this token gets in."""
    end = _end(NatsSettings((url,), "n-visitor", token, ca_file=ca_file, require_tls=tls))
    try:
        await end.connect("n-visitor", _take, _logs)
    except DeliveryError:
        return False
    finally:
        await end.close()
    return True


async def join(url: str, token: str, node_id: str) -> NatsComputeEnd:
    """Join as an official node does."""
    end = _end(NatsSettings((url,), node_id, token))
    await end.connect(node_id, _take, _logs)
    answer = await end.request(HandshakeRequest(node_info=NodeInfo(node_id=node_id)))
    assert isinstance(answer, HandshakeResponse)
    assert answer.accepted
    return end


def _end(settings: NatsSettings) -> NatsComputeEnd:
    return NatsComputeEnd(settings.name, settings, SystemClock())


async def _take(envelope: Envelope) -> None:
    del envelope


def _logs(request: object) -> AsyncIterator[Any]:
    raise NotImplementedError


async def test_an_open_cluster_lets_nodes_with_the_token_in_and_shows_it_to_nobody(
    no_leaks: None, node_config: MakeConfig
) -> None:
    async with embedded(node_config()) as (node, session):
        assert (await ask(session))["IsOpen"] is False
        state = await ask(session, "open")
        token = token_of(node)
        assert state["TokenFile"] == str(node.repo.cluster_token_file)
        assert node.repo.cluster_token_file.stat().st_mode & 0o777 == 0o600
        assert (state["NeedsToken"], state["Nodes"]) == (True, 0)
        assert not await enters(state["Address"])
        assert not await enters(state["Address"], "another")
        end = await join(state["Address"], token, "n-far")
        try:
            shown = await ask(session)
            assert shown["Nodes"] == 1
            async with session.get("/api/v1/orchestrator/nodes") as answer:
                nodes = {each["Info"]["NodeID"] for each in (await answer.json())["Nodes"]}
            assert nodes == {node.node_id, "n-far"}
        finally:
            await end.close()
        async with session.get("/api/v1/agent/config") as config, session.get("/api/v1/agent/debug") as debug:
            texts = [str(state), str(shown), await config.text(), await debug.text()]
        assert not [text for text in texts if token in text]
        assert "'IsUp': True" in str((await ask(session))["Link"])


async def test_a_node_that_starts_again_opens_the_link_at_the_same_port_until_it_is_closed(
    no_leaks: None, node_config: MakeConfig
) -> None:
    async with embedded(node_config()) as (node, session):
        address = (await ask(session, "open"))["Address"]
        token = token_of(node)
    assert not await enters(address, token)
    async with embedded(node_config()) as (node, session):
        await until(lambda: enters(address, token), 60)
        assert (await ask(session))["Address"] == address
        assert token_of(node) == token
        assert (await ask(session, "close"))["IsOpen"] is False
        assert not await enters(address, token)
    async with embedded(node_config()) as (node, session):
        assert (await ask(session))["IsOpen"] is False
        assert node.link is not None
        assert node.link.plan is None


async def test_a_node_that_joined_is_away_as_soon_as_the_cluster_is_closed(
    no_leaks: None, node_config: MakeConfig
) -> None:
    async with embedded(node_config()) as (node, session):
        state = await ask(session, "open")
        end = await join(state["Address"], token_of(node), "n-far")
        try:
            await ask(session, "close")
            async with session.get("/api/v1/orchestrator/nodes") as answer:
                nodes = {each["Info"]["NodeID"]: each for each in (await answer.json())["Nodes"]}
            far, own = nodes["n-far"], nodes[node.node_id]
            assert (far["Connection"], own["Connection"]) == ("DISCONNECTED", "CONNECTED")
            assert far["ConnectionState"]["LastError"] == "the cluster was closed"
            await ask(session, "open")
            again = await join(state["Address"], token_of(node), "n-far")
            await again.close()
            assert (await ask(session))["Nodes"] == 1
        finally:
            await end.close()


async def test_an_open_cluster_keeps_a_node_that_nobody_holds(node_config: MakeConfig) -> None:
    async with embedded(node_config(Node__GracePeriod="0s")) as (node, session):
        await ask(session, "open")
        with node.leases.hold():
            pass
        task = asyncio.create_task(node.until_superfluous())
        done, _ = await asyncio.wait({task}, timeout=3)
        assert not done
        await ask(session, "close")
        await asyncio.wait_for(task, 60)


async def test_a_taken_default_port_is_exchanged_and_a_chosen_one_is_not(
    node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        set_default_port(monkeypatch, "Orchestrator.Port", port)
        async with embedded(node_config()) as (_, session):
            state = await ask(session, "open")
            assert not state["Address"].endswith(f":{port}")
            answer = await ask(session, "open", status=409, Port=port)
            assert f"port {port}" in answer["Message"]
            # It is as it was.
            assert (await ask(session))["Address"] == state["Address"]
            await until(lambda: _is_up(session), 60)


async def _is_up(session: aiohttp.ClientSession) -> bool:
    return bool((await ask(session))["Link"]["IsUp"])


async def test_a_node_by_hand_does_not_start_where_its_port_is_taken(
    no_leaks: None, node_config: MakeConfig
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port}") as caught:
            async with running_node(node_config(Orchestrator__Port=port)):
                pass
        assert "Orchestrator.Port" in caught.value.hint
        # Notebooks get their node, which tries again.
        async with embedded(node_config(Orchestrator__Port=port)) as (node, session):
            await until(lambda: node.problems.every())
            state = await ask(session)
            assert (state["IsOpen"], state["Link"]["IsUp"]) == (True, False)
            assert f"port {port}" in state["Link"]["Reason"]
            assert "the node tries again" in state["Link"]["Reason"]
            squatter.close()
            await until(lambda: _is_up(session), 60)
            assert not node.problems.every()


@pytest.fixture
def certified(node_config: MakeConfig, tmp_path: Path) -> tuple[Any, Path]:
    """A node that shows a certificate at its link, and the file of that certificate."""
    leaf = trustme.CA().issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    config = node_config(
        Orchestrator__Auth__Token="sesame-of-the-test",
        Orchestrator__TLS__ServerCert=str(certificate),
        Orchestrator__TLS__ServerKey=str(key),
    )
    return config, certificate


async def test_a_link_that_can_be_opened_neither_as_asked_nor_as_it_was_is_tried_again(
    no_leaks: None, certified: tuple[Any, Path]
) -> None:
    config, certificate = certified
    async with embedded(config) as (node, session):
        await until(lambda: _is_up(session), 60)
        address = (await ask(session))["Address"]
        kept = certificate.read_text()
        certificate.unlink()
        await ask(session, "open", status=400, Advertise="box.example")
        state = await ask(session)
        assert (state["IsOpen"], state["Link"]["IsUp"]) == (True, False)
        assert str(certificate) in state["Link"]["Reason"]
        assert "the node tries again" in state["Link"]["Reason"]
        # What is refused at once does not end that.
        await ask(session, "open", status=400, Host="a b")
        certificate.write_text(kept)
        await until(lambda: _is_up(session), 120)
        assert (await ask(session))["Address"] == address
        assert not node.problems.every()


async def test_an_order_that_can_not_be_kept_changes_nothing(no_leaks: None, node_config: MakeConfig) -> None:
    async with embedded(node_config()) as (node, session):
        order = node.repo.orchestrator_dir / "link.json"
        order.mkdir(parents=True)
        await ask(session, "open", status=500)
        assert (await ask(session))["IsOpen"] is False
        order.rmdir()
        address = (await ask(session, "open"))["Address"]
        order.unlink()
        order.mkdir()
        await ask(session, "open", status=500, Advertise="box.example")
        assert (await ask(session))["Address"] == address
        # Nobody can close it now, either, and it stays as it is.
        await ask(session, "close", status=500)
        assert (await ask(session))["IsOpen"] is True
        order.rmdir()


async def test_a_link_that_the_configuration_opens_is_not_closed_and_one_that_it_forbids_not_opened(
    node_config: MakeConfig,
) -> None:
    async with running_node(node_config(Orchestrator__Port=0)) as node, client(node) as session:
        assert (await ask(session))["IsOpen"] is True
        answer = await ask(session, "close", status=409)
        assert "the configuration opens this cluster: Orchestrator.Port" in answer["Message"]
    async with running_node(node_config(Orchestrator__Link="off")) as node, client(node) as session:
        answer = await ask(session, "open", status=409)
        assert "Orchestrator.Link is off" in answer["Message"]
        assert not node.repo.cluster_token_file.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"Host": "a b"},
        {"Host": "203.0.113.77"},
        {"Port": 70000},
        {"Advertise": "x:y"},
        {"Port": "x"},
        {"Host": 5},
    ],
)
async def test_a_link_that_can_not_be_opened_leaves_nothing_behind(
    no_leaks: None, node_config: MakeConfig, body: dict[str, Any]
) -> None:
    async with embedded(node_config()) as (node, session):
        async with session.post(f"{CLUSTER}/open", json=body) as answer:
            assert answer.status in (400, 409), await answer.text()
            assert (await answer.json())["Message"]
        assert (await ask(session))["IsOpen"] is False
        assert not (node.repo.orchestrator_dir / "link.json").exists()


async def test_a_cluster_with_tls_is_entered_with_the_authority_of_the_node(node_config: MakeConfig) -> None:
    async with embedded(node_config()) as (node, session):
        plain = await ask(session, "open")
        state = await ask(session, "open", Encrypt=True)
        # Nodes were told this address.
        assert state["Address"] == plain["Address"]
        assert state["IsEncrypted"] is True
        assert await enters(state["Address"], token_of(node), Path(state["CAFile"]))
        assert not await enters(state["Address"], token_of(node), tls=True)


async def test_a_certificate_of_an_organisation_is_shown_and_its_authority_named(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    names = ("ca.pem", "cert.pem", "key.pem")
    ca_file, certificate, key = (tmp_path / name for name in names)
    authority.cert_pem.write_to_path(ca_file)
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    config = node_config(
        Orchestrator__Port=0,
        Orchestrator__Auth__Token="sesame-of-the-test",
        Orchestrator__TLS__ServerCert=str(certificate),
        Orchestrator__TLS__ServerKey=str(key),
        Orchestrator__TLS__ServerTimeout=20,
        Orchestrator__TLS__CACert=str(ca_file),
    )
    async with running_node(config) as node, client(node) as session:
        state = await ask(session)
        assert (state["IsEncrypted"], state["CAFile"]) == (True, str(ca_file))
        assert await enters(state["Address"], "sesame-of-the-test", ca_file)
        assert not await enters(state["Address"], "another", ca_file)
        assert not await enters(state["Address"], "sesame-of-the-test", tls=True)
        async with session.get("/api/v1/agent/config") as answer:
            assert "sesame-of-the-test" not in await answer.text()


async def test_a_cluster_for_other_machines_says_where_they_reach_it_and_that_they_reach_no_api(
    node_config: MakeConfig,
) -> None:
    async with embedded(node_config()) as (node, session):
        near = await ask(session, "open")
        assert near["APIAddress"] == node.url
        state = await ask(session, "open", Host="0.0.0.0", Advertise="box.example")
        assert (state["IsPublic"], state.get("APIAddress", "")) == (True, "")
        assert state["Address"].startswith("nats://box.example:")
        assert state["NeedsToken"] is True


async def test_a_server_that_runs_already_is_used(
    node_config: MakeConfig, nats_server: PlainNatsServer
) -> None:
    config = node_config(
        Orchestrator__NATSServer=nats_server.url, Orchestrator__Auth__Token=nats_server.token
    )
    async with running_node(config) as node, client(node) as session:
        await until(lambda: _is_up(session), 60)
        state = await ask(session)
        assert (state["Address"], state.get("TokenFile", "")) == (nats_server.url, "")
        end = await join(nats_server.url, nats_server.token, "n-outside")
        await end.close()
        assert not (node.repo.orchestrator_dir / "nats").exists()


@pytest.mark.parametrize("content", [b"{no", b"\xff\xfe"], ids=["no JSON", "no text"])
async def test_a_damaged_order_leaves_the_cluster_closed_and_is_written_anew(
    node_config: MakeConfig, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    directory = Path(node_config()["DataDir"]) / "orchestrator"
    directory.mkdir(parents=True, mode=0o700)
    (directory / "link.json").write_bytes(content)
    async with embedded(node_config()) as (_, session):
        assert (await ask(session))["IsOpen"] is False
        assert "the cluster stays closed" in caplog.text
        assert (await ask(session, "open"))["IsOpen"] is True


async def test_a_public_host_without_a_token_keeps_the_node_from_starting(node_config: MakeConfig) -> None:
    with pytest.raises(BacalhauError, match="needs a token"):
        async with running_node(node_config(Orchestrator__Host="0.0.0.0", Orchestrator__Port=0)):
            pass

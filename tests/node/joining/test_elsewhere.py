"""A node that only runs jobs, and the link to its orchestrator: what it is told, and what it does without one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere, own_secret
from bacalhau_jupyter.node.joining.kept import KeptCluster, KeptClusters
from bacalhau_jupyter.node.joining.results import LastingLinks, reachable_base
from bacalhau_jupyter.node.results import LocalResults
from tests.services.nats import PlainNatsServer
from tests.services.node import running_node
from tests.services.waiting import until

MakeConfig = Callable[..., Config]
TOKEN = "a token that nobody prints"


def only_compute(make: MakeConfig, server: str, **keys: object) -> Config:
    values = {
        "Orchestrator.Enabled": False,
        "Compute.Orchestrators": [server],
        "Compute.Auth.Token": TOKEN,
    }
    return make().replace({**values, **keys})


def test_every_key_of_the_link_reaches_it(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("certificates")
    there = Elsewhere.of(
        Config(
            {
                "Compute.Orchestrators": ["gpu-box:4222", "tls://192.0.2.1:4223"],
                "Compute.Auth.Token": TOKEN,
                "Compute.TLS.CACert": str(ca_file),
                "Compute.TLS.RequireTLS": True,
            }
        )
    )
    settings = there.settings("n-1", "secret", "_INBOX_1")
    assert settings.servers == ("nats://gpu-box:4222", "tls://192.0.2.1:4223")
    assert (settings.name, settings.user, settings.token, settings.password) == (
        "n-1",
        "n-1",
        TOKEN,
        "secret",
    )
    assert (settings.ca_file, settings.tls_first, settings.needs_tls) == (ca_file, True, True)
    assert TOKEN not in repr(there)
    assert "secret" not in repr(settings)


def test_the_secret_of_a_node_is_made_once_and_is_its_users_only(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    secret = own_secret(repo, "n-1")
    assert own_secret(Repo(tmp_path), "n-1") == secret
    assert own_secret(repo, "n-2") != secret
    files = list((tmp_path / "node-secrets").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert (tmp_path / "node-secrets").stat().st_mode & 0o777 == 0o700


async def test_a_node_starts_without_its_orchestrator_and_says_what_is_missing(
    node_config: MakeConfig, nats_server: PlainNatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nats_server.stop()
    try:
        async with running_node(only_compute(node_config, nats_server.url)) as node:
            assert node.compute is not None
            assert not node.compute.joined
            assert nats_server.url.removeprefix("nats://") in node.compute.problem
            assert node.compute.hint == "is the orchestrator running, and open to other nodes?"
            async with aiohttp.ClientSession(node.url) as session:
                async with session.get("/api/v1/agent/node") as answer:
                    described = await answer.json()
                    assert described["NodeType"] == "Compute"
                    assert "lease" in described["Features"]
                    assert not {"cluster", "events", "uploads"} & set(described["Features"])
                async with session.get("/api/v1/orchestrator/nodes") as answer:
                    assert answer.status == 404
                    assert nats_server.url in (await answer.json())["Message"]
    finally:
        nats_server.start()
    assert TOKEN not in caplog.text


async def test_a_wrong_token_is_told_in_one_sentence_and_nothing_stops(
    no_leaks: None, node_config: MakeConfig, nats_server: PlainNatsServer
) -> None:
    async with running_node(only_compute(node_config, nats_server.url)) as node:
        compute = node.compute
        assert compute is not None
        await until(lambda: "refused the token" in compute.problem)
        assert TOKEN not in compute.problem


async def test_a_node_that_is_to_speak_tls_says_nothing_to_a_server_that_does_not(
    no_leaks: None, node_config: MakeConfig, nats_server: PlainNatsServer
) -> None:
    config = only_compute(node_config, nats_server.url, **{"Compute.TLS.RequireTLS": True})
    async with running_node(config.replace({"Compute.Auth.Token": nats_server.token})) as node:
        compute = node.compute
        assert compute is not None
        await until(lambda: "TLS" in compute.problem)
        assert not compute.joined


@pytest.mark.parametrize(
    ("keys", "is_near", "base"),
    [
        ({}, True, "http://127.0.0.1:1234"),
        ({}, False, ""),
        ({"API.Host": "192.0.2.7"}, False, "http://192.0.2.7:1234"),
        ({"API.Host": "0.0.0.0"}, False, ""),
        ({"API.Host": ""}, False, ""),
        ({"API.Host": "0.0.0.0", "API.AdvertisedAddress": "box"}, False, "http://box:1234"),
        ({"API.Host": "0.0.0.0", "Publishers.Types.Local.Address": "box"}, False, "http://box:1234"),
        ({"Publishers.Types.Local.Address": "box"}, False, ""),
        (
            {"Publishers.Types.Local.Address": "box", "Publishers.Types.Local.Port": 6001},
            False,
            "http://box:6001",
        ),
        ({"Publishers.Types.Local.Address": "https://box"}, False, "https://box"),
    ],
)
def test_links_to_results_lead_to_where_others_reach_this_node_or_are_not_offered(
    keys: dict[str, object], is_near: bool, base: str
) -> None:
    config = Config(keys)
    host = config["API.Host"] if config["API.Host"] == "192.0.2.7" else "127.0.0.1"
    url, problem = reachable_base(config, f"http://{host}:1234", is_near=is_near)
    assert url == base
    assert bool(problem) is not bool(base)


def test_a_lasting_link_opens_the_result_that_it_was_made_for_and_no_other(tmp_path: Path) -> None:
    key, clock = b"k" * 32, SystemClock()
    links = LastingLinks("http://box:6001", "", key, clock)
    results = LocalResults(tmp_path, key, 60.0, clock)
    kept = tmp_path / "results" / "local-publisher"
    kept.mkdir(parents=True)
    for name in ("e-1", "e-2"):
        (kept / f"{name}.tar.gz").write_bytes(b"packed")
    url = str(links.reference("e-1", "n-1").param("URL", ""))
    assert results.stored(url) == kept / "e-1.tar.gz"
    assert results.stored(url.replace("e-1", "e-2")) is None


async def test_a_cluster_that_can_not_be_joined_again_after_a_restart_is_shown_and_tried_again(
    no_leaks: None, node_config: MakeConfig
) -> None:
    config = node_config()
    repo = Repo(Path(config["DataDir"]))
    repo.create()
    cluster = KeptCluster("nats://127.0.0.1:1", "n-guest", authority="PEM")
    KeptClusters(repo).put(cluster)
    in_the_way = repo.path / "node-authorities"
    in_the_way.touch()
    async with running_node(config) as node:
        (state,) = node.joining.states().items
        assert (state.url, state.is_joined) == (cluster.url, False)
        assert str(in_the_way) in state.link.reason
        assert "the node tries again" in state.link.reason
        assert [each.task for each in node.problems.every()] == [f"offering this machine to {cluster.url}"]
        in_the_way.unlink()
        await until(lambda: "n-guest" in node.halves.nodes(), 60)
        (state,) = node.joining.states().items
        assert "the node tries again" not in state.link.reason
        await until(lambda: not node.problems.every(), 60)
        await node.joining.leave(cluster.url)
        assert not node.joining.states().items


async def test_a_cluster_that_can_not_be_joined_again_can_be_left(
    no_leaks: None, node_config: MakeConfig
) -> None:
    config = node_config()
    repo = Repo(Path(config["DataDir"]))
    repo.create()
    KeptClusters(repo).put(KeptCluster("nats://127.0.0.1:1", "n-guest", authority="PEM"))
    (repo.path / "node-authorities").touch()
    async with running_node(config) as node:
        await node.joining.leave("nats://127.0.0.1:1")
        assert not node.joining.states().items
        assert not node.problems.every()

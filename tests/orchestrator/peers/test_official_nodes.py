"""Two unmodified official nodes with one ID, as two copies of a machine are; ``BACALHAU_STOCK_BINARY`` names them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.records.node import NodeConnection, NodeState
from bacalhau_jupyter.orchestrator.service import Orchestrator
from tests.orchestrator.peers.test_over_nats import cluster
from tests.services.common import end_process
from tests.services.nats import PlainNatsServer
from tests.services.official import BINARY, quiet_environment
from tests.services.official_orchestrator import needs_official
from tests.services.ports import free_port
from tests.services.waiting import until

pytestmark = needs_official

WAIT_S = 180.0


@contextmanager
def official_node(home: Path, server: PlainNatsServer) -> Iterator[None]:
    keys = {
        "API.Host": "127.0.0.1",
        "API.Port": free_port(),
        "Publishers.Types.Local.Port": free_port(),
        "Compute.Orchestrators": server.url,
    }
    words = [word for key, value in keys.items() for word in ("-c", f"{key}={value}")]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [BINARY, "serve", "--compute", *words],
            env={
                **quiet_environment(home),
                "BACALHAU_DIR": str(home / "node"),
                "BACALHAU_COMPUTE_AUTH_TOKEN": server.token,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        end_process(process, timeout_s=30.0)


def only_node(service: Orchestrator) -> NodeState:
    states = service._parts.register.states()
    return states[0] if len(states) == 1 else NodeState()


def is_connected(service: Orchestrator) -> bool:
    return only_node(service).connection is NodeConnection.CONNECTED


async def test_the_copy_of_an_official_node_is_the_node_and_the_first_one_is_kept_out(
    nats_server: PlainNatsServer, tmp_path: Path
) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    async with cluster(nats_server, SystemClock()) as (service, _):
        with official_node(first, nats_server):
            await until(lambda: is_connected(service), WAIT_S)
            assert only_node(service).notices == []
            shutil.copytree(first, copy)
            with official_node(copy, nats_server):
                await until(lambda: bool(only_node(service).notices), WAIT_S)
                assert "two nodes use this ID" in only_node(service).notices[0]
                await until(lambda: is_connected(service), WAIT_S)


async def test_an_official_node_that_is_stopped_and_started_again_has_no_rival(
    nats_server: PlainNatsServer, tmp_path: Path
) -> None:
    async with cluster(nats_server, SystemClock()) as (service, _):
        with official_node(tmp_path / "n", nats_server):
            await until(lambda: is_connected(service), WAIT_S)
            started_ns = service._parts.register.members[only_node(service).info.node_id].instance.started_ns
        # It said goodbye; the next one is simply the node.
        await until(lambda: not is_connected(service), WAIT_S)
        with official_node(tmp_path / "n", nats_server):
            await until(lambda: is_connected(service), WAIT_S)
            instance = service._parts.register.members[only_node(service).info.node_id].instance
            assert instance.started_ns > started_ns and not instance.must_prove
            assert only_node(service).notices == []

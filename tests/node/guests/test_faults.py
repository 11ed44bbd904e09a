"""What happens to official nodes of an orchestrator of ours when somebody dies, restarts or is told to go."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.node.guests.cluster import TIMEOUT_S, Cluster, guest_cluster, image, module
from tests.services.common import wait_until
from tests.services.official_compute import OfficialCompute
from tests.services.official_orchestrator import needs_official
from tests.services.wasm_modules import printing

pytestmark = [needs_official, pytest.mark.timeout(900)]

DONE, FAILED, RUNNING = JobStateType.COMPLETED, JobStateType.FAILED, JobStateType.RUNNING
TWENTY = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); sleep 0.5; done; echo ended"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An orchestrator of ours without nodes."""
    with guest_cluster(tmp_path) as running:
        yield running


def test_a_rejected_node_gets_nothing_until_it_is_approved(cluster: Cluster) -> None:
    cluster.guests("n-guest")
    cluster.wait_connected("n-guest")
    with cluster.client() as client:
        client.call(lambda api: api.change_node("n-guest", "reject"))
        refused = cluster.run(module(printing("a")), FAILED, DONE, JobStateType.QUEUED)
        assert cluster.executions(refused) == []
        client.call(lambda api: api.change_node("n-guest", "approve"))
    assert cluster.wait_for(cluster.run(module(printing("b"))), DONE, FAILED) is DONE


def test_a_result_survives_the_orchestrator_and_its_server(cluster: Cluster, busybox_image: str) -> None:
    cluster.guests("n-guest")
    cluster.wait_connected("n-guest")
    job = cluster.run(image(busybox_image, TWENTY), RUNNING, FAILED)
    cluster.orchestrator.kill()
    cluster.restart()
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    with cluster.client() as client:
        assert client.job(job).printed("stdout") == "ended\n"
    assert cluster.connections()["n-guest"] == "CONNECTED"
    assert cluster.wait_for(cluster.run(module(printing("again"))), DONE, FAILED) is DONE


def test_an_orchestrator_that_is_restarted_in_order_finds_its_nodes_and_what_they_run(
    cluster: Cluster, busybox_image: str
) -> None:
    cluster.guests("n-guest")
    cluster.wait_connected("n-guest")
    job = cluster.run(image(busybox_image, TWENTY), RUNNING, FAILED)
    assert cluster.orchestrator.stop() == 0
    # An official node may take twenty seconds to be back.
    cluster.restart("-c", "Orchestrator.NodeManager.DisconnectTimeout=60s")
    # Nobody has to do anything for that, and nothing runs twice.
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    assert len(cluster.executions(job)) == 1
    cluster.wait_connected("n-guest")
    assert cluster.wait_for(cluster.run(module(printing("again"))), DONE, FAILED) is DONE


def test_a_node_that_says_goodbye_is_away_at_once_and_goes_on_when_it_is_back(
    cluster: Cluster, busybox_image: str
) -> None:
    guest = cluster.guests("n-guest")
    cluster.wait_connected("n-guest")
    job = cluster.run(image(busybox_image, TWENTY), RUNNING, FAILED)
    guest.close()
    cluster.wait_connected("n-guest", connection="DISCONNECTED")
    with cluster.client() as client:
        (state,) = [each for each in client.nodes() if each.info.node_id == "n-guest"]
    assert state.connection_state.last_error == "graceful shutdown"
    guest.start()
    cluster.wait_connected("n-guest")
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)


def test_a_node_that_is_rejected_at_work_lays_it_down_and_another_one_does_it(
    cluster: Cluster, busybox_image: str
) -> None:
    cluster.guests("n-first")
    cluster.wait_connected("n-first")
    job = cluster.run(image(busybox_image, TWENTY), RUNNING, FAILED)
    cluster.guests("n-second")
    cluster.wait_connected("n-second")
    with cluster.client() as client:

        def is_free() -> bool:
            (state,) = [each for each in client.nodes() if each.info.node_id == "n-first"]
            info = state.info.compute_node_info
            return info.available_capacity == info.max_capacity

        assert wait_until(lambda: not is_free(), timeout_s=TIMEOUT_S)
        client.call(lambda api: api.change_node("n-first", "reject"))
        # An official orchestrator lets the work go on there unseen.
        assert wait_until(is_free, timeout_s=TIMEOUT_S)
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    done = {each.node_id: each.compute_state.state_type.name for each in cluster.executions(job)}
    assert done["n-second"] == "COMPLETED", done
    assert done["n-first"] != "COMPLETED", done


def test_the_nats_server_alone_may_die(cluster: Cluster) -> None:
    cluster.guests("n-guest")
    cluster.wait_connected("n-guest")
    (server,) = _servers(cluster.orchestrator.process.pid)
    os.kill(server, signal.SIGKILL)
    assert wait_until(
        lambda: [each for each in _servers(cluster.orchestrator.process.pid) if each != server] != [],
        timeout_s=TIMEOUT_S,
    )
    cluster.wait_connected("n-guest")
    assert cluster.wait_for(cluster.run(module(printing("after"))), DONE, FAILED) is DONE


def test_a_killed_node_is_missed_and_its_job_goes_on_elsewhere(cluster: Cluster, busybox_image: str) -> None:
    first = cluster.guests("n-first")
    cluster.wait_connected("n-first")
    job = cluster.run(image(busybox_image, TWENTY), RUNNING, FAILED)
    cluster.guests("n-second")
    cluster.wait_connected("n-second")
    first.kill()
    cluster.wait_connected("n-first", connection="DISCONNECTED")
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    assert "n-second" in {each.node_id for each in cluster.executions(job)}
    first.start()
    cluster.wait_connected("n-first", "n-second")
    ops = cluster.run(module(printing("both"), kind="ops"))
    assert {each.node_id for each in cluster.executions(ops)} == {"n-first", "n-second"}


def test_a_node_with_the_wrong_token_stays_out(cluster: Cluster, tmp_path: Path) -> None:
    stranger = OfficialCompute(tmp_path / "stranger", cluster.link, "wrong", "n-stranger")
    try:
        assert wait_until(
            lambda: "uthorization" in stranger.log() or stranger.has_ended, timeout_s=TIMEOUT_S
        ), stranger.log()
        assert "n-stranger" not in cluster.connections()
    finally:
        stranger.close()


def _servers(node: int) -> list[int]:
    """Return the NATS servers that a node has started."""
    words = [
        word
        for task in Path(f"/proc/{node}/task").iterdir()
        for word in (task / "children").read_text().split()
    ]
    return [int(word) for word in words if b"nats-server" in Path(f"/proc/{word}/cmdline").read_bytes()]

"""A Docker Engine that stops answering while it has containers: their work is not run a second time beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.engines.containers import sweeping
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.plugins.contract import Bid
from bacalhau_jupyter.plugins.engine import RunRequest
from tests.engines.containers.test_containers import WITHOUT, Machine, start
from tests.engines.daemonless.bench import Bench, Trees
from tests.engines.docker.proxy import Proxy
from tests.engines.docker.proxy import proxy as proxy
from tests.node.hosts.conftest import MakeConfig, client_of
from tests.services import docker_engine as services
from tests.services.images import BUSYBOX
from tests.services.node import running_node
from tests.services.node_fixtures import node_config as node_config
from tests.services.registry import Registry
from tests.services.waiting import found, until

NEVER_S = 3600.0
COUNTS = "echo begun >> /outputs/count; until [ -e /outputs/go ]; do sleep 0.1; done"


@pytest.fixture
async def machine(
    tmp_path: Path, store: Trees, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Machine]:
    """A machine whose way to the Docker Engine is ours to cut, also under a container that is followed."""
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.patience.PATIENCE_S", 1.0)
    # What a test does not wait for does not help it.
    monkeypatch.setattr(sweeping, "RETRY_S", (NEVER_S, NEVER_S))
    machine = Machine(tmp_path, store, f"unix://{proxy.path}")
    machine.start_docker()
    yield machine
    if not proxy.path.exists():
        await proxy.up()
    for engine in machine.opened:
        await engine.probe()
        for execution_id in await engine.existing():
            await engine.clean(execution_id)
        await engine.close()


@pytest.fixture
def api(docker_engine: str) -> Iterator[Any]:
    client = services.client(docker_engine)
    yield client.api
    client.close()


def running(api: Any, machine: Machine) -> list[str]:
    """The containers of the machine's node."""
    return [item["Id"] for item in api.containers(filters={"label": f"bacalhau-executor={machine.node_id}"})]


def again(bench: Bench, request: RunRequest, partition: int = 0) -> RunRequest:
    """The request of another execution of the same job, as after a failure."""
    other = bench.request(
        {"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", "echo again"]}, job_id=request.execution.job_id
    )
    return replace(other, execution=msgspec.structs.replace(other.execution, partition_index=partition))


async def lost(bench: Bench, proxy: Proxy) -> RunRequest:
    """A job whose Docker Engine stops answering for longer than is waited for; its container runs on."""
    request, runtime = await start(bench, COUNTS)
    assert runtime.startswith("Docker")
    await until(lambda: (request.outputs[0].path / "count").exists())
    await proxy.down()
    outcome = await bench.engine.wait(request.execution.id)
    assert isinstance(outcome.error, NetworkFailure)
    return request


def assert_refused(bid: Bid, request: RunRequest) -> None:
    assert (bid.accepted, bid.busy) == (False, True)
    assert bid.reason.startswith(
        f"this node gave execution {request.execution.id} of the job to a Docker Engine"
    )


async def test_the_work_of_a_container_that_may_run_is_not_begun_beside_it(
    machine: Machine, proxy: Proxy, api: Any
) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    request = await lost(bench, proxy)
    assert_refused(await bench.engine.bid(again(bench, request).execution), request)
    with pytest.raises(NetworkFailure):
        await bench.engine.clean(request.execution.id)
    assert_refused(await bench.engine.bid(again(bench, request).execution), request)
    # Another part of the job, and other jobs, run without Docker meanwhile.
    other = again(bench, request, partition=1)
    assert (await bench.engine.bid(other.execution)).accepted
    assert WITHOUT in await bench.engine.start(other)
    assert (await bench.finish(other)).stdout == "again\n"
    assert len(running(api, machine)) == 1
    # Docker's again: what is left of the first goes before the second begins.
    await proxy.up()
    second = again(bench, request)
    assert (await bench.engine.bid(second.execution)).accepted
    assert running(api, machine) == []
    assert (await bench.engine.start(second)).startswith("Docker")
    assert (await bench.finish(second)).stdout == "again\n"
    assert (request.outputs[0].path / "count").read_text() == "begun\n"
    assert await bench.engine.existing() == []


async def test_a_node_that_was_started_again_meanwhile_knows_it_too(
    machine: Machine, proxy: Proxy, api: Any
) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    request, _ = await start(bench, COUNTS)
    await until(lambda: (request.outputs[0].path / "count").exists())
    await machine.opened.pop().close()
    await proxy.down()
    bench = machine.bench()
    assert WITHOUT in (await bench.engine.probe()).runtime
    # What the node does with an execution that it can't find again.
    with pytest.raises(NetworkFailure, match="none answers"):
        await bench.engine.start(request)
    second = again(bench, request)
    assert_refused(await bench.engine.bid(second.execution), request)
    with pytest.raises(NetworkFailure, match="its container may still run"):
        await bench.engine.start(second)
    with pytest.raises(NetworkFailure, match="none answers"):
        await bench.engine.clean(request.execution.id)
    await machine.opened.pop().close()
    bench = machine.bench()
    await bench.engine.probe()
    assert_refused(await bench.engine.bid(second.execution), request)
    assert len(running(api, machine)) == 1
    await proxy.up()
    assert (await bench.engine.probe()).runtime.startswith("Docker")
    # The node removes it at once; no new request is needed.
    await until(lambda: running(api, machine) == [])
    assert (await bench.engine.bid(second.execution)).accepted


async def test_what_was_left_goes_when_docker_is_back_though_nobody_asks(
    machine: Machine, proxy: Proxy, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "RETRY_S", (0.1, 0.1))
    bench = machine.bench()
    await bench.engine.probe()
    request = await lost(bench, proxy)
    with pytest.raises(NetworkFailure):
        await bench.engine.clean(request.execution.id)
    assert len(running(api, machine)) == 1
    await proxy.up()
    await until(lambda: running(api, machine) == [])
    await until(lambda: not any((machine.place / "compute").glob("docker-*/*")))


async def test_notes_of_earlier_versions_and_torn_ones_hold_nothing_up(
    machine: Machine, proxy: Proxy
) -> None:
    for name, text in (("e-old", ""), ("e-torn", '{"job": "j-')):
        for directory in ("docker-executions", "docker-remains"):
            file = machine.place / "compute" / directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    await proxy.down()
    bench = machine.bench()
    await bench.engine.probe()
    request, runtime = await start(bench, "echo hi")
    assert WITHOUT in runtime
    assert (await bench.finish(request)).stdout == "hi\n"


async def test_a_job_waits_for_the_docker_engine_that_may_still_run_it(
    node_config: MakeConfig,
    proxy: Proxy,
    registry: Registry,
    busybox_image: str,
    docker_engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It could run without Docker, beside its own container."""
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.patience.PATIENCE_S", 1.0)
    monkeypatch.setattr(sweeping, "RETRY_S", (0.2, 0.2))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{proxy.path}")
    image = registry.push(busybox_image, "containers/busybox:1").tagged
    config = node_config(Engines__Disabled=["process", "wasm"], WebUI__Enabled=False)
    script = "echo begun >> /outputs/count; sleep 600"

    def begun() -> int:
        return len(found(tmp_path / "repo", "outputs/count"))

    engine = services.client(docker_engine)
    async with running_node(config) as node, client_of(node) as api:
        job = (await api.submit(docker(image, ["sh", "-c", script], cpu="0.1", memory="50Mb"))).job_id
        await until(lambda: begun() == 1)
        await proxy.down()

        async def waits() -> bool:
            state = (await api.get_job(job)).job.state
            assert state.state_type in (JobStateType.PENDING, JobStateType.RUNNING, JobStateType.QUEUED), (
                state
            )
            return "of the job to a Docker Engine that does not answer" in state.message

        await until(waits, timeout_s=60)
        other = (await api.submit(docker(image, ["true"], cpu="0.1", memory="50Mb"))).job_id

        async def is_done() -> bool:
            return (await api.get_job(other)).job.state.state_type is JobStateType.COMPLETED

        await until(is_done, timeout_s=60)
        (execution,) = (await api.executions(other)).items
        assert WITHOUT in execution.runtime
        assert begun() == 1
        assert not (await api.get_job(job)).job.is_terminal
        await proxy.up()
        await until(lambda: begun() == 2, timeout_s=60)
        label = {"label": f"bacalhau-executor={node.node_id}"}
        await until(lambda: len(engine.api.containers(filters=label)) == 1)
        await api.stop(job)
    engine.close()

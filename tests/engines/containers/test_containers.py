"""One engine of type ``docker`` over a Docker Engine and what runs images without one."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.containers import Containers
from bacalhau_jupyter.models.errors import EngineError, NetworkFailure
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.plugins.engine import EndReason
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.daemonless.bench import Bench, Trees
from tests.services import leaks
from tests.services.images import BUSYBOX
from tests.services.waiting import until

WITHOUT = "without Docker Engine"


class Machine:
    """A machine whose Docker Engine comes and goes, and the engine of its node."""

    def __init__(self, place: Path, store: Trees, docker_url: str) -> None:
        self.place = place
        self.store = store
        self.socket = place / "docker.sock"
        self._docker = docker_url.removeprefix("unix://")
        self.node_id = leaks.owns(f"n-{uuid.uuid4()}")
        self.opened: list[Containers] = []

    def start_docker(self) -> None:
        self.socket.symlink_to(self._docker)

    def stop_docker(self) -> None:
        self.socket.unlink()

    def bench(self, runtimes: Sequence[str] = ()) -> Bench:
        """The node's engine, made anew as after a restart."""
        options = PluginOptions(
            self.node_id, self.place / "compute", settings={"Engines.Docker.Runtimes": list(runtimes)}.get
        )
        options.data_dir.mkdir(mode=0o700, exist_ok=True)
        engine = Containers(options, {"DOCKER_HOST": f"unix://{self.socket}"}, store=self.store)
        self.opened.append(engine)
        return Bench(self.place, options, engine)


@pytest.fixture
async def machine(tmp_path: Path, store: Trees, docker_engine: str) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, store, docker_engine)
    yield machine
    if not machine.socket.is_symlink():
        machine.start_docker()
    for engine in machine.opened:
        await engine.probe()
        for execution_id in await engine.existing():
            await engine.clean(execution_id)
        await engine.close()


async def start(bench: Bench, script: str) -> tuple[Any, str]:
    """Bid for and start a shell script; return the request and what runs it."""
    request = bench.request({"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", script]})
    bid = await bench.engine.bid(request.execution)
    assert bid.accepted, bid
    assert ("CPU" in bid.note) == bid.note.startswith("it runs without a Docker Engine: ")
    return request, await bench.engine.start(request)


async def test_a_docker_engine_that_answers_is_used(machine: Machine) -> None:
    machine.start_docker()
    bench = machine.bench()
    available = await bench.engine.probe()
    assert (available.available, available.may_change) == (True, False)
    request, runtime = await start(bench, "echo $$ > /outputs/x")
    assert runtime.startswith("Docker") and available.runtime == runtime
    assert (await bench.finish(request)).outcome.exit_code == 0


async def test_without_a_docker_engine_images_run_on_this_machine(machine: Machine) -> None:
    bench = machine.bench()
    available = await bench.engine.probe()
    assert available.available and WITHOUT in available.runtime
    assert available.may_change
    request, runtime = await start(bench, "echo hi")
    what_limits = available.runtime.removeprefix(f"{runtime}, ")
    assert what_limits != available.runtime and "memory" in what_limits and "CPU" in what_limits
    assert (await bench.finish(request)).stdout == "hi\n"


async def test_new_jobs_go_to_a_docker_engine_that_comes_later_and_old_ones_stay(machine: Machine) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    script = "echo > /outputs/ready; until [ -e /outputs/go ]; do sleep 0.1; done; echo went"
    old, _ = await start(bench, script)
    machine.start_docker()
    assert (await bench.engine.probe()).runtime.startswith("Docker")
    new, runtime = await start(bench, "echo new")
    assert runtime.startswith("Docker")
    assert set(await bench.engine.existing()) == {old.execution.id, new.execution.id}
    await until(lambda: (old.outputs[0].path / "ready").exists())
    (old.outputs[0].path / "go").touch()
    assert (await bench.finish(old)).stdout == "went\n"
    assert (await bench.finish(new)).stdout == "new\n"
    assert await bench.engine.existing() == []


async def test_new_jobs_run_without_a_docker_engine_that_has_gone(machine: Machine) -> None:
    machine.start_docker()
    bench = machine.bench()
    await bench.engine.probe()
    machine.stop_docker()
    request, runtime = await start(bench, "echo hi")
    assert WITHOUT in runtime
    assert (await bench.finish(request)).stdout == "hi\n"


async def test_a_restarted_node_finds_its_job_again_on_the_runtime_that_has_it(machine: Machine) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    script = "echo > /outputs/ready; until [ -e /outputs/go ]; do sleep 0.1; done; echo went; exit 4"
    request, _ = await start(bench, script)
    await until(lambda: (request.outputs[0].path / "ready").exists())
    await machine.opened.pop().close()
    machine.start_docker()
    again = machine.bench()
    assert (await again.engine.probe()).runtime.startswith("Docker")
    assert await again.engine.attach(request)
    (request.outputs[0].path / "go").touch()
    ran = await again.finish(request)
    assert (ran.outcome.exit_code, ran.stdout) == (4, "went\n")


async def restarted_without_docker(machine: Machine, script: str) -> tuple[Bench, Any]:
    """A node that was killed while a Docker Engine ran its job, and that finds none when it is started again."""
    machine.start_docker()
    bench = machine.bench()
    await bench.engine.probe()
    request, _ = await start(bench, script)
    ready = request.outputs[0].path / "ready"
    # The shell makes the file before it writes to it, and what is started again is about to end it.
    await until(lambda: ready.exists() and ready.read_text())
    await machine.opened.pop().close()
    machine.stop_docker()
    again = machine.bench()
    assert WITHOUT in (await again.engine.probe()).runtime
    return again, request


async def test_a_job_of_a_docker_engine_that_is_away_is_not_started_elsewhere(machine: Machine) -> None:
    script = "echo again >> /outputs/ready; until [ -e /outputs/go ]; do sleep 0.1; done; exit 4"
    bench, request = await restarted_without_docker(machine, script)
    with pytest.raises(NetworkFailure, match=request.execution.id) as away:
        await bench.engine.start(request)
    assert away.value.retryable and away.value.fails_execution
    new, runtime = await start(bench, "echo new")
    assert WITHOUT in runtime
    assert (await bench.finish(new)).stdout == "new\n"
    # It is over for this node, so that its container goes.
    machine.start_docker()
    await bench.engine.probe()

    async def is_gone() -> bool:
        return await bench.engine.existing() == []

    await until(is_gone)
    assert (request.outputs[0].path / "ready").read_text() == "again\n"


async def test_what_a_docker_engine_that_is_away_has_is_removed_when_it_is_back(machine: Machine) -> None:
    bench, request = await restarted_without_docker(machine, "echo > /outputs/ready; sleep 100")
    identifier = request.execution.id
    for call in (bench.engine.cancel, bench.engine.clean):
        with pytest.raises(NetworkFailure, match="none answers"):
            await call(identifier)
    assert await bench.engine.existing() == []
    machine.start_docker()
    await bench.engine.probe()
    # By the node's housekeeping, by the engine itself, or by both at the same time.
    await bench.engine.cancel(identifier)
    await bench.engine.clean(identifier)

    async def is_gone() -> bool:
        return await bench.engine.existing() == []

    await until(is_gone)
    machine.stop_docker()
    # Nothing is known of it any more.
    await machine.bench().engine.clean(identifier)


async def test_a_job_is_cancelled_on_the_runtime_that_has_it(machine: Machine) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    request, _ = await start(bench, "echo > /outputs/ready; sleep 100")
    await until(lambda: (request.outputs[0].path / "ready").exists())
    machine.start_docker()
    await bench.engine.probe()
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_the_configuration_names_the_runtimes(machine: Machine) -> None:
    machine.start_docker()
    only_images = machine.bench(["bubblewrap"])
    assert WITHOUT in (await only_images.engine.probe()).runtime
    machine.stop_docker()
    only_docker = machine.bench([" Docker "])
    answer = await only_docker.engine.probe()
    assert (answer.available, answer.may_change) == (False, True)
    assert "docker.sock" in answer.problem and WITHOUT not in answer.problem
    unknown = await machine.bench(["podman"]).engine.probe()
    assert "does not know 'podman'" in unknown.problem and "docker, bubblewrap" in unknown.problem


async def test_a_node_without_the_package_docker_runs_images(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.start_docker()
    monkeypatch.setitem(sys.modules, "docker", None)
    bench = machine.bench()
    assert WITHOUT in (await bench.engine.probe()).runtime
    request, _ = await start(bench, "echo hi")
    assert (await bench.finish(request)).stdout == "hi\n"
    only_docker = machine.bench(["docker"])
    assert "pip install" in (await only_docker.engine.probe()).problem
    monkeypatch.undo()


async def test_gpus_are_for_docker_engines(machine: Machine) -> None:
    bench = machine.bench()
    await bench.engine.probe()
    engine = bench.engine
    assert isinstance(engine, Containers)
    assert "Docker Engine" in await engine.gpu_problem(GPU(index=0, name="x", vendor="NVIDIA", memory=1))


async def test_where_nothing_can_run_images_both_reasons_are_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bacalhau_jupyter.engines.supervised.bubblewrap import binary

    monkeypatch.setattr(binary, "find", lambda: None)
    bench = machine.bench()
    answer = await bench.engine.probe()
    assert not answer.available
    assert "docker.sock" in answer.problem and "bubblewrap is not installed" in answer.problem
    with pytest.raises(EngineError):
        await bench.engine.start(bench.request({"Image": BUSYBOX}))

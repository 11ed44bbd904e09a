"""A compute node when tasks, plug-ins and disks fail."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.jobs.spec import (
    ResourcesConfig,
    SpecConfig,
    Timeouts,
    replace,
)
from bacalhau_jupyter.models.wire.messages import (
    ComputeError,
    RunResult,
)
from bacalhau_jupyter.plugins.engine import EndReason, Outcome, RunRequest
from bacalhau_jupyter.plugins.logfile import STDOUT, LogWriter
from bacalhau_jupyter.plugins.publisher import PublishRequest
from tests.compute.makers import STUB, an_input, an_output, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, WorldEngine, bench


async def test_a_time_out_stops_the_task_with_that_reason(node: Bench) -> None:
    # A slow disk may hold up the start, and what has not begun has no runtime.
    task = make_task("noop", {"Sleep": 600}, timeouts=Timeouts(total_timeout=5))
    answer = await node.peer.run(make_execution(task))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "Execution timed out after 5s"
    assert answer.events[0].topic == "Exec Timeout"
    assert answer.events[0].details["Hint"] == "Increase the task timeout or allocate more resources"
    assert answer.events[0].details["Runtime"] == "noop"


async def test_a_time_out_counts_from_the_acceptance_and_covers_fetching(node: Bench) -> None:
    node.source.hang = asyncio.Event()
    task = make_task(input_sources=[an_input()], timeouts=Timeouts(execution_timeout=1))
    answer = await node.peer.run(make_execution(task))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "Execution timed out after 1s"


async def test_a_task_that_ran_out_of_memory_fails_with_the_engines_words(node: Bench) -> None:
    execution = make_execution(make_task("world"))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    error = EngineError(
        "memory limit exceeded", hint="use --memory", component="Docker", fails_execution=True
    )
    node.world.end(execution, Outcome(EndReason.OOM, 137, error))
    answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "memory limit exceeded"
    assert answer.events[0].details["Hint"] == "use --memory"
    await node.idle()
    assert node.free() == node.node.capacity.limit


@pytest.mark.parametrize("phase", ["fetch", "publish"])
async def test_a_full_disk_fails_that_execution_and_the_node_lives(node: Bench, phase: str) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    if phase == "fetch":
        node.source.error = full
    else:
        node.publisher.error = full
    answer = await node.peer.run(make_execution(make_task(input_sources=[an_input()], publisher=STUB)))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message.startswith("the disk of the compute node is full")
    assert answer.events[0].details["Hint"]
    assert answer.events[0].topic == ("Downloading Inputs" if phase == "fetch" else "Publishing Results")
    node.source.error = node.publisher.error = None
    assert isinstance(await node.peer.run(make_execution()), RunResult)


async def test_a_reason_that_no_json_can_carry_still_fails_the_execution(node: Bench) -> None:
    # File names are bytes; Python shows those that are no UTF-8 as lone surrogates.
    node.publisher.error = IOFailure(
        "the link \udcffx points outside", hint="\udcff", details={"Name": "\udcff"}
    )
    answer = await node.peer.run(make_execution(make_task(publisher=STUB)))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == (
        r"the results could not be published: the link \udcffx points outside"
    )
    await node.idle()


async def test_what_a_plugin_returns_and_nobody_can_store_fails_the_execution(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish(request: PublishRequest) -> SpecConfig:
        return SpecConfig(type="stub", params={"Client": object()})

    monkeypatch.setattr(node.publisher, "publish", publish)
    answer = await node.peer.run(make_execution(make_task(publisher=STUB)))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "the node could not record the progress of the execution: TypeError"
    await node.idle()
    assert node.free() == node.node.capacity.limit


async def test_an_engine_that_breaks_when_asked_for_its_tasks_does_not_keep_them_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, probe_timeout_s=0.3) as node:
        execution = make_execution(make_task("world"))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT_S)
        await node.reaches(execution, "running")
        await node.crash()

        async def attach(engine: WorldEngine, request: RunRequest) -> bool:
            raise KeyError("State")

        monkeypatch.setattr(WorldEngine, "attach", attach)
        await node.restart()
        answer = await node.peer.next()
        assert isinstance(answer, ComputeError)
        await node.idle()


async def test_a_plugin_that_breaks_fails_only_its_execution(node: Bench) -> None:
    node.world.start_error = KeyError("what")
    answer = await node.peer.run(make_execution(make_task("world")))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "starting the task failed: KeyError: 'what'"
    assert isinstance(await node.peer.run(make_execution()), RunResult)


async def test_an_execution_id_that_names_a_path_is_taken_and_ignored(node: Bench) -> None:
    await node.peer.ask(replace(make_execution(), id="../../evil"))
    assert node.node.live() == []
    assert isinstance(await node.peer.run(make_execution()), RunResult)


async def test_an_offer_without_a_task_fails_with_a_sentence(node: Bench) -> None:
    execution = make_execution()
    assert execution.job is not None
    await node.peer.ask(replace(execution, job=replace(execution.job, tasks=[])))
    answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == f"execution {execution.id} has no job or task"


@pytest.mark.root
@pytest.mark.parametrize("who", ["source", "task", "output"])
async def test_a_job_that_fills_the_disk_fails_and_the_node_survives(tmp_path: Path, who: str) -> None:
    """The database lies on the same disk, so not even the failure could be stored before there is room again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        async with bench(disk, allocated=ResourcesConfig(disk="1Gi")) as node:

            def fill(directory: Path) -> None:
                with contextlib.suppress(OSError), (directory / "big").open("wb", buffering=0) as file:
                    while file.write(bytes(4096)):
                        pass

            if who == "source":
                node.source.fill = fill
                execution = make_execution(make_task("world", input_sources=[an_input()]))
                await node.peer.bid(execution)
                await node.peer.accept(execution)
            else:
                execution = make_execution(make_task("world", result_paths=[an_output()], publisher=STUB))
                await node.peer.bid(execution)
                await node.peer.accept(execution)
                await node.reaches(execution, "running")
                if who == "output":
                    log = LogWriter(node.settings.data_dir / "logs" / f"{execution.id}.log")
                    with contextlib.suppress(OSError):
                        while True:
                            log.write(STDOUT, bytes(4096))
                    log.close()
                else:
                    fill(node.world.requests[execution.id].outputs[0].path)
                node.world.outcomes[execution.id].set_result(Outcome(EndReason.EXITED, 1))
            answer = await node.peer.next()
            assert isinstance(answer, ComputeError)
            assert answer.events is not None
            assert answer.events[0].message.startswith("the disk of the compute node is full")
            node.source.fill = None
            assert isinstance(await node.peer.run(make_execution()), RunResult)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)

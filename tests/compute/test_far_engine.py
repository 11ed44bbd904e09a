"""A node and a real Docker Engine, the way to which is cut while work is there: nothing fails, or runs twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from tests.compute.far import HELD, FarBench, far_bench
from tests.compute.makers import an_input, make_execution
from tests.engines.docker.cut_link import AWAY
from tests.services.far_host import FarHost
from tests.services.waiting import until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.timeout(300),
]
COUNT = "echo begun >> /outputs/count"


@pytest.fixture
async def node(
    docker_engine: str, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FarBench]:
    if not docker_engine.startswith("unix://"):
        pytest.skip("the engine has no socket that could be cut")
    # The ways of this test are broken for longer.
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.patience.PATIENCE_S", 1.0)
    async with far_bench(tmp_path, docker_engine, busybox_image) as it:
        yield it


def words(message: RunResult | ComputeError) -> list[str]:
    return [event.message for event in message.events or ()]


async def test_a_task_that_ends_while_the_way_is_broken_is_collected_whole(node: FarBench) -> None:
    script = (
        f"{COUNT}; echo up; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; done; {HELD}; printf tail"
    )
    execution = await node.begin(node.shell(script))
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.let_go()
    await node.ended(execution)
    # Longer than an engine that is gone is waited for.
    await node.stays_away(3)
    assert [record.phase.value for record in node.node.live()] == ["running"]
    node.link.heal()
    result = await node.ends()
    assert isinstance(result, RunResult), result
    files = node.publisher.published[execution.id]
    assert files["stdout"] == "up\n" + "".join(f"{i}\n" for i in range(1, 2001)) + "tail"
    assert files["outputs/count"] == "begun\n"
    messages = words(result)
    assert messages[0] == f"{AWAY}; the task goes on there"
    assert any(text.startswith("its host answers again, after ") for text in messages)
    await node.idle()
    assert node.left() == []


async def test_node_info_and_progress_say_at_once_that_the_host_is_away_and_that_it_is_back(
    node: FarBench,
) -> None:
    execution = await node.begin(node.shell("echo up; sleep 600"))
    await node.prints(execution, "up\n")
    node.link.cut()
    info = await node.info(AWAY)
    assert "docker" not in (info.compute_node_info.execution_engines or ())
    assert info.compute_node_info.engine_problems["docker"] == AWAY
    assert node.readings[-1].note == AWAY
    node.link.heal()
    info = await node.info("Docker Engine")
    assert "docker" in (info.compute_node_info.execution_engines or ())
    assert node.readings[-1].note == ""


async def test_a_cancellation_while_away_is_carried_out_on_return(node: FarBench) -> None:
    execution = await node.begin(node.shell("echo up; sleep 600"))
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.peer.cancel(execution)
    # Well beyond the time that stopping a task may take.
    await node.stays_away(7)
    assert [record.verdict.value for record in node.node.live()] == ["cancelled"]
    (container,) = node.containers()
    assert container["State"]["Running"]
    node.link.heal()
    await node.idle()
    assert node.left() == []
    assert node.peer.inbox.empty()


@pytest.mark.parametrize("ends", [True, False])
async def test_a_node_that_is_killed_while_the_way_is_broken_finds_the_task_on_return(
    node: FarBench, ends: bool
) -> None:
    execution = await node.begin(node.shell(f"{COUNT}; echo up; {HELD}; echo done"))
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.crash()
    await node.restart()
    if ends:
        await node.let_go()
        await node.ended(execution)
    # Longer than an engine of this machine is asked for.
    await node.stays_away(8)
    assert [record.phase.value for record in node.node.live()] == ["running"]
    node.link.heal()
    if not ends:
        await node.node._ready().executions.settled(60)
        await node.let_go()
    result = await node.ends()
    assert isinstance(result, RunResult), result
    files = node.publisher.published[execution.id]
    assert (files["stdout"], files["outputs/count"]) == ("up\ndone\n", "begun\n")
    await node.idle()
    assert node.left() == []


async def test_a_cancellation_while_away_holds_over_a_restart(node: FarBench) -> None:
    execution = await node.begin(node.shell("echo up; sleep 600"))
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.peer.cancel(execution)
    assert [record.verdict.value for record in node.node.live()] == ["cancelled"]
    await node.crash()
    await node.restart()
    node.link.heal()
    await node.idle()
    assert node.left() == []
    assert node.peer.inbox.empty()


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_task_that_ended_within_its_limit_has_completed_however_late_that_is_heard_of(
    node: FarBench, restarts: bool
) -> None:
    task = node.shell(f"echo up; {HELD}; echo done", timeouts=Timeouts(execution_timeout=12))
    execution = await node.begin(task)
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.let_go()
    if restarts:
        await node.crash()
        await node.restart()
    await node.ended(execution)
    (record,) = node.node.live()
    await node.stays_away(max(0.0, (record.limit_ns - time.time_ns()) / SECOND) + 2)
    node.link.heal()
    result = await node.ends()
    assert isinstance(result, RunResult), result
    assert node.publisher.published[execution.id]["stdout"] == "up\ndone\n"


async def test_a_task_that_still_runs_beyond_its_limit_on_return_is_stopped(node: FarBench) -> None:
    execution = await node.begin(node.shell("echo up; sleep 600", timeouts=Timeouts(execution_timeout=12)))
    await node.prints(execution, "up\n")
    node.link.cut()
    (record,) = node.node.live()
    await node.stays_away(max(0.0, (record.limit_ns - time.time_ns()) / SECOND) + 2)
    node.link.heal()
    result = await node.ends()
    assert isinstance(result, ComputeError), result
    messages = words(result)
    assert messages[0] == "Execution timed out after 12s"
    assert any(text.startswith("the task still ran when its host answered again") for text in messages)
    await node.idle()
    assert node.left() == []


async def test_a_start_that_is_cut_off_while_inputs_are_copied_is_taken_up_again(
    node: FarBench, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20) * 24

    def fill(directory: Path) -> None:
        (directory / "big").write_bytes(data)

    node.source.fill = fill
    is_cut = node.link.cut_after(8 << 20)
    script = f"{COUNT}; wc -c < /inputs/big"
    execution = await node.begin(node.shell(script, input_sources=[an_input()]))
    await asyncio.wait_for(is_cut.wait(), 60)
    await node.stays_away(3)
    node.link.heal()
    result = await node.ends()
    assert isinstance(result, RunResult), result
    files = node.publisher.published[execution.id]
    assert (files["stdout"].strip(), files["outputs/count"]) == (str(len(data)), "begun\n")
    await node.idle()
    assert node.left() == []


async def test_a_node_that_is_killed_before_the_start_goes_on_when_the_way_is_back(node: FarBench) -> None:
    node.source.hang = asyncio.Event()
    execution = await node.begin(node.shell(f"{COUNT}; echo done", input_sources=[an_input()]))
    await asyncio.wait_for(node.source.fetching.wait(), 60)
    node.link.cut()
    await node.crash()
    node.source.hang = None
    await node.restart()
    await node.reaches(execution, "starting")
    await node.stays_away(3)
    node.link.heal()
    result = await node.ends()
    assert isinstance(result, RunResult), result
    assert node.publisher.published[execution.id]["outputs/count"] == "begun\n"


async def test_an_offer_while_the_way_is_broken_is_refused_as_if_the_node_were_busy(node: FarBench) -> None:
    node.link.cut()
    bid = await node.peer.bid(make_execution(node.shell("true")))
    assert not bid.accepted
    event = (bid.events or [])[0]
    assert event.message == f"rejected bid: {AWAY}"
    assert event.details["Capacity"] == "true"
    # Nothing is behind the socket any more, and the link has not noticed yet.
    node.link.heal()
    await until(lambda: "docker" in (node.node.info().compute_node_info.execution_engines or ()))
    upstream, node.link.socket.upstream = node.link.socket.upstream, "/nowhere"
    node.link.socket.reset()
    async with asyncio.timeout(60):
        bid = await node.peer.bid(make_execution(node.shell("true")))
    event = (bid.events or [])[0]
    assert "the Docker Engine of host gpu1 does not answer" in event.message
    assert event.details["Capacity"] == "true"
    assert node.link.broken
    node.link.cut()
    node.link.socket.upstream = upstream


async def test_a_start_that_is_cancelled_while_away_leaves_nothing(node: FarBench) -> None:
    offered = node.shell("echo up; sleep 600", input_sources=[an_input()])
    node.source.hang = asyncio.Event()
    execution = await node.begin(offered)
    await asyncio.wait_for(node.source.fetching.wait(), 60)
    node.link.cut()
    node.source.hang.set()
    await node.reaches(execution, "starting")
    await node.stays_away(1)
    await node.peer.cancel(execution)
    await node.stays_away(1)
    node.link.heal()
    await node.idle()
    assert node.left() == []
    assert node.peer.inbox.empty()


@pytest.mark.parametrize("orderly", [False, True])
async def test_a_task_that_ended_with_its_machine_is_told_apart_from_one_that_failed(
    far_host: FarHost, tmp_path: Path, orderly: bool
) -> None:
    image = await asyncio.to_thread(far_host.busybox_image)
    async with far_bench(tmp_path, far_host.engine_url, image) as node:
        execution = await node.begin(node.shell("echo up; sleep 600"))
        await node.prints(execution, "up\n")
        node.link.cut()
        # Here: the machine ends with the thread that started it.
        far_host.reboot(orderly=orderly)
        node.engine_url = far_host.engine_url
        node.link.socket.upstream = far_host.engine_url.removeprefix("unix://")
        node.link.heal()
        result = await node.ends()
        assert isinstance(result, ComputeError), result
        event = (result.events or [])[0]
        assert event.message == "host gpu1 was restarted while the task ran"
        assert event.details["Retryable"] == "true"
        # A program that fails by itself is still one.
        await node.begin(node.shell("exit 255"))
        other = await node.ends()
        assert isinstance(other, RunResult), other
        assert other.run_command_result is not None
        assert other.run_command_result.exit_code == 255
        await node.idle()
        assert node.left() == []

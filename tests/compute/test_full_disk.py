"""A disk that jobs fill to the last byte: every job ends, and the node goes on (process and docker)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult
from tests.compute.makers import make_execution
from tests.compute.real import RealBench, works_or_skip
from tests.lib.test_reserve import fill
from tests.transfer.helpers import small_disk

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

FILL = "dd if=/dev/zero of=outputs/x bs=1M count=100; exit 3"
# Long lines: of short ones, an engine with little of the processor takes most of a minute to fill the disk.
PRINT = 'yes "$(head -c 4000 /dev/zero | tr "\\0" x)" | head -c 100000000'
ROUNDS = 3


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def node(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> AsyncIterator[RealBench]:
    image = ""
    if request.param == "docker":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_engine"))
        image = request.getfixturevalue("busybox_image")
    with small_disk(tmp_path / "disk", "40m") as disk:
        it = RealBench(disk, request.param, image)
        it.reserve = 655_360
        await it.peer.serve()
        await it.start()
        await works_or_skip(it, request.param)
        yield it
        await it.stop()


async def end_of(node: RealBench, script: str) -> BidResult | RunResult | ComputeError:
    """Run a job to its end; a refused bid is one, too."""
    execution = make_execution(node.shell(script))
    async with asyncio.timeout(60):
        await node.peer.ask(execution)
        bid = await node.peer.inbox.get()
        assert isinstance(bid, BidResult), bid
        if not bid.accepted:
            return bid
        await node.peer.accept(execution)
        end = await node.peer.inbox.get()
    assert isinstance(end, (RunResult, ComputeError)), end
    return end


async def test_every_job_on_a_full_disk_ends_and_small_ones_run_afterwards(node: RealBench) -> None:
    for _ in range(ROUNDS):
        for script in (FILL, PRINT):
            await end_of(node, script)
            await asyncio.wait_for(node.node.idle(), 60)
    end = await end_of(node, "echo small")
    assert isinstance(end, RunResult), end
    assert end.run_command_result is not None
    assert end.run_command_result.stdout == "small\n"


async def test_jobs_that_fill_it_side_by_side_all_end(node: RealBench) -> None:
    executions = [make_execution(node.shell(script)) for script in (FILL, PRINT, PRINT)]
    for execution in executions:
        await node.peer.ask(execution)
    waiting = {execution.id for execution in executions}
    async with asyncio.timeout(90):
        while waiting:
            message = await node.peer.inbox.get()
            if isinstance(message, BidResult) and message.accepted:
                await node.peer.send_accepted(message.execution_id)
            else:
                waiting.discard(message.execution_id)
    await asyncio.wait_for(node.node.idle(), 60)


async def test_a_node_whose_disk_stays_full_refuses_with_the_reason_and_reports_a_problem(
    node: RealBench, tmp_path: Path
) -> None:
    fill(tmp_path / "disk")
    end = await end_of(node, "echo never")
    assert isinstance(end, BidResult)
    assert not end.accepted
    assert any("the disk of this node is full" in event.message for event in end.events or [])
    assert "reserving disk space" in node.node.info().compute_node_info.problems
    (tmp_path / "disk" / "filling").unlink()
    end = await end_of(node, "echo again")
    assert isinstance(end, RunResult), [event.message for event in end.events or []]
    assert node.node.info().compute_node_info.problems == {}

"""The compute node over engines that really run something; each test runs once per engine that works here."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.wire.messages import ComputeError, ExecutionLogsRequest, RunResult
from tests.compute.makers import an_input
from tests.compute.real import ENGINES, LONG_S, RealBench, begin, ends, image_for, running

pytestmark = pytest.mark.process


@pytest.fixture(params=ENGINES)
async def node(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealBench]:
    it = RealBench(tmp_path, request.param, image_for(request, monkeypatch))
    async with running(it, it.kind):
        yield it
    # pytest's own removal recurses.
    remove_tree(tmp_path)


async def test_a_program_runs_and_its_outputs_are_published(node: RealBench) -> None:
    execution = await begin(node, node.shell("echo hi; echo oops >&2; echo 42 > outputs/answer; exit 3"))
    result = await ends(node)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert (result.run_command_result.stdout, result.run_command_result.stderr) == ("hi\n", "oops\n")
    assert result.run_command_result.exit_code == 3
    assert result.events is not None
    assert result.events[0].details["Runtime"]
    assert node.publisher.published[execution.id] == {
        "stdout": "hi\n",
        "stderr": "oops\n",
        "exitCode": "3",
        "outputs/answer": "42\n",
    }
    await node.idle()
    assert not (node.settings.data_dir / "executions" / execution.id).exists()


async def test_the_size_of_the_inputs_is_not_a_limit_on_what_a_program_writes(node: RealBench) -> None:
    """What is reserved for small inputs must not become the engine's limit on the size of a file."""
    node.source.bytes = 5
    script = "dd if=/dev/zero of=outputs/big bs=1024 count=200 2>/dev/null && wc -c < outputs/big"
    await begin(node, node.shell(script, input_sources=[an_input()]))
    result = await ends(node)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert result.run_command_result.exit_code == 0
    assert result.run_command_result.stdout.strip() == "204800"


async def test_an_input_below_parents_that_exist_nowhere_is_readable(node: RealBench) -> None:
    """The parents are made for the mount; the job, which may be another user, has to be able to enter them."""
    await begin(node, node.shell("cat /data/deep/x/*", input_sources=[an_input(target="/data/deep/x")]))
    result = await ends(node)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert (result.run_command_result.stderr, result.run_command_result.exit_code) == ("", 0)
    assert result.run_command_result.stdout


async def test_a_program_that_outlives_the_node_runs_once_and_is_collected(node: RealBench) -> None:
    # Whether it ends before or after the restart, it has run once and all of it is collected.
    script = "echo begun >> outputs/count; echo started; sleep 2; echo done"
    execution = await begin(node, node.shell(script))
    stream = node.peer.end.logs(
        ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    )
    async with asyncio.timeout(LONG_S):
        assert (await anext(stream)).value.line == "started\n"
    await node.crash()
    await node.restart()
    result = await ends(node)
    assert isinstance(result, RunResult), result
    assert node.publisher.published[execution.id]["outputs/count"] == "begun\n"
    assert node.publisher.published[execution.id]["stdout"] == "started\ndone\n"


async def test_a_time_out_ends_a_real_program(node: RealBench) -> None:
    await begin(node, node.shell("sleep 600", timeouts=Timeouts(execution_timeout=1)))
    result = await ends(node)
    assert isinstance(result, ComputeError)
    assert result.events is not None
    assert result.events[0].message == "Execution timed out after 1s"


async def test_cancelling_ends_a_real_program_and_leaves_nothing(node: RealBench) -> None:
    execution = await begin(node, node.shell("echo up; sleep 600"))
    stream = node.peer.end.logs(
        ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    )
    async with asyncio.timeout(LONG_S):
        assert (await anext(stream)).value.line == "up\n"
        await node.peer.cancel(execution)
        assert [frame async for frame in stream] == []
        await node.node.idle()
    engine = node.extra_engines[node.kind]
    assert await engine.existing() == []
    assert node.peer.inbox.empty()


async def test_lines_reach_a_follower_while_the_program_runs(node: RealBench) -> None:
    """The program prints a line when the one before has arrived."""
    script = "for i in 0 1 2 3 4; do echo $i; until [ -e outputs/$i ]; do sleep 0.02; done; done"
    execution = await begin(node, node.shell(script))
    lines = []
    stream = node.peer.end.logs(
        ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    )
    outputs = node.node._equipment.places.results(execution.id) / "outputs"
    async with asyncio.timeout(LONG_S):
        async for frame in stream:
            lines.append(frame.value.line)
            (outputs / frame.value.line.strip()).touch()
    assert lines == ["0\n", "1\n", "2\n", "3\n", "4\n"]
    assert isinstance(await ends(node), RunResult)


NEST = (
    'cd outputs; p=$(yes d | head -n 600 | tr "\\n" /); for i in %s; do mkdir -p $p; cd -P $p || exit 9; done'
)


async def test_directories_nested_1200_deep_are_published_and_removed(node: RealBench) -> None:
    execution = await begin(node, node.shell(NEST % "1 2"))
    result = await ends(node)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert result.run_command_result.exit_code == 0, result.run_command_result
    await node.idle()
    assert not node.node._equipment.places.directory(execution.id).exists()


async def test_a_job_that_nests_deeper_than_paths_go_ends_and_housekeeping_removes_it(
    node: RealBench,
) -> None:
    execution = await begin(node, node.shell(NEST % "1 2 3 4 5"))
    await ends(node)
    await node.idle()
    node.node.settings = dataclasses.replace(node.node.settings, directory_retention_s=0.0)
    await node.node.tidy()
    assert not node.node._equipment.places.directory(execution.id).exists()

"""A compute node from end to end, with a scripted orchestrator on the other side of a wire-true carrier."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.models.jobs.spec import (
    ResourcesConfig,
    SpecConfig,
)
from bacalhau_jupyter.models.records.execution import ExecutionStateType, RunCommandResult
from bacalhau_jupyter.models.wire.messages import (
    BidResult,
    ExecutionLogsRequest,
    HandshakeRequest,
    HeartbeatRequest,
    RunResult,
    ShutdownNoticeRequest,
)
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import STUB, an_input, an_output, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, bench

# ---- the straight way


async def test_a_job_runs_from_offer_to_result(node: Bench) -> None:
    execution = make_execution(make_task("noop", {"Stdout": "hello\n", "ExitCode": 3}))
    bid = await node.peer.bid(execution)
    assert bid.accepted
    assert (bid.job_id, bid.job_type, bid.events) == (execution.job_id, "batch", None)
    await node.peer.accept(execution)
    result = await node.peer.next()
    assert isinstance(result, RunResult)
    assert result.run_command_result is not None
    assert result.run_command_result.stdout == "hello\n"
    assert result.run_command_result.exit_code == 3
    assert result.events is not None
    assert (result.events[0].topic, result.events[0].message) == ("Execution", "Completed successfully")
    details = result.events[0].details
    assert details["Runtime"] == "noop"
    assert details["Started"] <= details["Exited"] <= result.events[0].timestamp
    record = await node.node.lookup(execution.id)
    assert record is not None
    assert record.phase.wire is ExecutionStateType.COMPLETED


async def test_a_direct_execution_runs_without_a_bid(node: Bench) -> None:
    execution = make_execution(make_task("noop"), direct=True)
    await node.peer.ask(execution)
    assert isinstance(await node.peer.next(), RunResult)


async def test_inputs_are_fetched_together_and_results_published_with_stdout_and_exit_code(
    node: Bench,
) -> None:
    task = make_task(
        "world",
        input_sources=[an_input(target="/inputs/a"), an_input(target="/inputs/b")],
        result_paths=[an_output()],
        publisher=STUB,
    )
    execution = make_execution(task)
    assert (await node.peer.bid(execution)).accepted
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    request = node.world.requests[execution.id]
    assert node.source.most_at_once == 2
    assert [mount.target for mount in request.inputs] == ["/inputs/a", "/inputs/b"]
    assert len({mount.path for mount in request.inputs}) == 2
    assert request.directory.stat().st_mode & 0o777 == 0o700
    assert request.resources.cpu == 0.1
    assert request.resources.memory == 100 * 1024 * 1024
    (request.outputs[0].path / "model.txt").write_text("weights")
    node.world.end(execution, Outcome(EndReason.EXITED, 7), b"done\n")
    result = await node.peer.next()
    assert isinstance(result, RunResult)
    assert result.publish_result == SpecConfig(type="stub", params={"Execution": execution.id})
    assert node.publisher.published[execution.id] == {
        "stdout": "done\n",
        "stderr": "",
        "exitCode": "7",
        "outputs/model.txt": "weights",
    }
    await node.idle()
    assert not list((node.settings.data_dir / "executions").iterdir())
    assert node.world.cleaned == [execution.id]


async def test_a_task_gets_its_environment_and_ours_wins(tmp_path: Path) -> None:
    async with bench(tmp_path, env_allow_list=("AWS_*",)) as node:
        env = {"LEVEL": "3", "REGION": "env:AWS_REGION", "BACALHAU_JOB_ID": "forged"}
        execution = make_execution(make_task("world", env=env))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT_S)
        assert node.world.requests[execution.id].env == {
            "LEVEL": "3",
            "REGION": "eu",
            "BACALHAU_EXECUTION_ID": execution.id,
            "BACALHAU_JOB_ID": execution.job_id,
            "BACALHAU_JOB_TYPE": "batch",
            "BACALHAU_PARTITION_INDEX": "0",
            "BACALHAU_PARTITION_COUNT": "1",
            "BACALHAU_INPUTS": "/inputs",
            "BACALHAU_OUTPUTS": "/outputs",
        }


async def test_progress_of_every_phase_reaches_the_listener(node: Bench) -> None:
    task = make_task("world", input_sources=[an_input()], publisher=STUB)
    execution = make_execution(task)
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    node.world.end(execution, Outcome(EndReason.EXITED))
    await node.peer.next()
    readings = [(phase, done, total) for identifier, phase, done, total in node.progress]
    assert ("fetching inputs", 5, 5) in readings
    assert ("pulling image", 45, 100) in readings
    phases = list(dict.fromkeys(phase for phase, _, _ in readings))
    assert phases == ["fetching inputs", "starting", "pulling image", "running", "publishing"]


# ---- the link


async def test_a_node_that_the_orchestrator_forgot_introduces_itself_again(tmp_path: Path) -> None:
    async with bench(tmp_path, heartbeat_interval_s=0.02) as node:
        await node.peer.hears(HeartbeatRequest)
        node.peer.known = False
        await node.peer.hears(HandshakeRequest, 2)
        assert isinstance(await node.peer.run(make_execution()), RunResult)


async def test_messages_that_were_refused_are_sent_again_in_order(tmp_path: Path) -> None:
    async with bench(tmp_path, reconnect_first_s=0.01) as node:
        node.peer.refuse_messages = 3
        execution = make_execution()
        assert (await node.peer.bid(execution)).accepted
        await node.peer.accept(execution)
        assert isinstance(await node.peer.next(), RunResult)
        seqs = [envelope.seq for envelope in node.peer.envelopes]
        assert seqs == sorted(set(seqs))
        assert all(
            envelope.source == "n-test" and envelope.event_time_ns > 0 for envelope in node.peer.envelopes
        )


async def test_a_refused_message_comes_again_and_none_is_lost_or_taken_twice(tmp_path: Path) -> None:
    async with bench(tmp_path, reconnect_first_s=0.01) as node:
        node.peer.refuse_messages = 1_000_000
        executions = [make_execution(direct=True) for _ in range(5)]
        for execution in executions:
            await node.peer.ask(execution)
        await node.idle()
        node.peer.refuse_once = {executions[2].id}
        node.peer.refuse_messages = 0
        results = [await node.peer.next() for _ in executions]
        assert {result.execution_id for result in results} == {execution.id for execution in executions}
        # The refused one is the only one that comes out of order: the others are of other executions.
        assert [envelope.seq for envelope in node.peer.envelopes] == [1, 2, 4, 5, 3]
        assert not node.peer.refuse_once


async def test_heartbeats_carry_the_last_message_that_the_node_received(tmp_path: Path) -> None:
    async with bench(tmp_path, heartbeat_interval_s=0.02) as node:
        await node.peer.run(make_execution())
        count = len(await node.peer.hears(HeartbeatRequest))
        last = (await node.peer.hears(HeartbeatRequest, count + 2))[-1]
        assert isinstance(last, HeartbeatRequest)
        assert last.last_orchestrator_seq_num == node.peer.seq


async def test_the_node_describes_what_it_offers_and_why_something_is_off(node: Bench) -> None:
    handshake = node.peer.control[0]
    assert isinstance(handshake, HandshakeRequest)
    info = handshake.node_info
    assert info.supported_protocols == ["ncl/v1"]
    assert set(info.labels) >= {"name", "os_type", "os_arch"}
    offered = info.compute_node_info
    assert offered.execution_engines == ["noop", "world"]
    assert offered.storage_sources == ["fake"]
    assert offered.publishers == ["stub"]
    assert offered.engine_runtimes == {"noop": "noop", "world": "world 1.0"}
    assert offered.max_capacity.cpu > 0
    assert offered.max_capacity.memory > 0


async def test_a_stopping_node_says_goodbye_and_leaves_nothing_behind(no_leaks: None, tmp_path: Path) -> None:
    async with bench(tmp_path) as node:
        peer = node.peer
        await peer.run(make_execution(make_task("noop", {"Stdout": "x"})))
        follower = peer.end.logs(
            ExecutionLogsRequest(execution_id=make_execution().id, node_id="n-test", follow=True)
        )
        assert "not found" in (await anext(follower)).error
        await follower.aclose()  # type: ignore[attr-defined]
        live = make_execution(make_task("noop", {"Sleep": 60}))
        await peer.bid(live)
        await peer.accept(live)
        await node.reaches(live, "running")
    await peer.end.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert isinstance(peer.control[-1], ShutdownNoticeRequest)


# ---- logs and tidying up


async def test_logs_can_be_read_through_the_carrier_after_the_end(node: Bench) -> None:
    execution = make_execution(make_task("noop", {"Stdout": "kept\n"}))
    await node.peer.run(execution)
    request = ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    async with asyncio.timeout(WAIT_S):
        lines = [frame.value.line async for frame in node.peer.end.logs(request)]
    assert lines == ["kept\n"]


async def test_directories_and_logs_are_removed_when_their_time_has_come(tmp_path: Path) -> None:
    async with bench(tmp_path, directory_retention_s=0.0, log_retention_s=0.0) as node:
        execution = make_execution(make_task("noop", {"Stdout": "x"}, result_paths=[an_output()]))
        await node.peer.run(execution)
        await node.idle()
        assert (node.settings.data_dir / "executions" / execution.id).exists()
        await node.node.tidy()
        assert not (node.settings.data_dir / "executions" / execution.id).exists()
        assert list((node.settings.data_dir / "logs").iterdir()) == []
        assert await node.node.lookup(execution.id) is None


async def test_a_task_that_needs_no_file_gets_none(node: Bench) -> None:
    execution = make_execution(make_task("noop", {"ExitCode": 4}))
    end = await node.peer.run(execution)
    assert isinstance(end, RunResult)
    assert end.run_command_result == RunCommandResult(exit_code=4)
    await node.idle()
    assert [
        path for kind in ("executions", "logs") for path in (node.settings.data_dir / kind).iterdir()
    ] == []
    request = ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    async with asyncio.timeout(WAIT_S):
        assert [frame async for frame in node.peer.end.logs(request)] == []


async def test_fifty_jobs_at_once_all_run_when_each_is_offered_again(tmp_path: Path) -> None:
    allocated = ResourcesConfig(cpu="2", memory="4Gi", disk="1Gi")
    async with bench(tmp_path, allocated=allocated) as node:
        task = make_task("noop", {"Sleep": 0.01}, resources=ResourcesConfig(cpu="500m"))
        waiting, done, asked = [make_execution(task) for _ in range(50)], 0, {}
        for execution in waiting:
            asked[execution.id] = execution
            await node.peer.ask(execution)
        most = 0
        async with asyncio.timeout(60):
            while done < 50:
                message = await node.peer.next()
                if isinstance(message, BidResult) and message.accepted:
                    await node.peer.accept(asked[message.execution_id])
                elif isinstance(message, BidResult):
                    assert message.events is not None
                    assert message.events[0].details == {"Capacity": "true"}
                    again = make_execution(task)
                    asked[again.id] = again
                    await asyncio.sleep(0.005)
                    await node.peer.ask(again)
                else:
                    assert isinstance(message, RunResult)
                    done += 1
                most = max(most, len([it for it in node.node.live() if it.reserved]))
        assert most <= 4

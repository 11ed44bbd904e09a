"""A compute node from end to end, with a scripted orchestrator on the other side of a wire-true carrier."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.compute.execution.events import Accepted
from bacalhau_jupyter.compute.settings import AdmissionSettings, Locality
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.execution import ExecutionStateType
from bacalhau_jupyter.models.messages import (
    BidRejected,
    BidResult,
    ComputeError,
    ExecutionLogsRequest,
    HandshakeRequest,
    HeartbeatRequest,
    RunResult,
    ShutdownNoticeRequest,
)
from bacalhau_jupyter.models.spec import (
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
    Timeouts,
    replace,
)
from bacalhau_jupyter.plugins.engine import EndReason, Outcome, RunRequest
from bacalhau_jupyter.plugins.logfile import STDOUT, LogWriter
from bacalhau_jupyter.plugins.publisher import PublishRequest
from tests.compute.makers import an_input, an_output, make_execution, make_task
from tests.compute.peer import WAIT, Bench, WorldEngine, bench


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as it:
        yield it


STUB = SpecConfig(type="stub")


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
    assert result.events[0].details == {"Runtime": "noop"}
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
    await asyncio.wait_for(node.world.running.wait(), WAIT)
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
        "stdout": "done\n", "stderr": "", "exitCode": "7", "outputs/model.txt": "weights",
    }  # fmt: skip
    await node.idle()
    assert not list((node.settings.data_dir / "executions").iterdir())
    assert node.world.cleaned == [execution.id]


async def test_a_task_gets_its_environment_and_ours_wins(tmp_path: Path) -> None:
    async with bench(tmp_path, env_allow_list=("AWS_*",)) as node:
        env = {"LEVEL": "3", "REGION": "env:AWS_REGION", "BACALHAU_JOB_ID": "forged"}
        execution = make_execution(make_task("world", env=env))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT)
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
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    node.world.end(execution, Outcome(EndReason.EXITED))
    await node.peer.next()
    told = [(phase, done, total) for identifier, phase, done, total in node.progress]
    assert ("fetching inputs", 5, 5) in told
    assert ("pulling image", 45, 100) in told
    phases = list(dict.fromkeys(phase for phase, _, _ in told))
    assert phases == ["fetching inputs", "starting", "pulling image", "running", "publishing"]


# ---- bids


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (make_task("docker"), "rejected bid: this node does not support docker, only noop, world"),
        (
            make_task(input_sources=[an_input("s3")]),
            "rejected bid: this node does not support s3, only fake",
        ),
        (
            make_task(publisher=SpecConfig(type="ipfs")),
            "rejected bid: this node does not support ipfs, only stub",
        ),
        (
            make_task("docker", publisher=SpecConfig(type="ipfs")),
            "rejected bid: this node does not support docker, only noop, world; "
            "this node does not support ipfs, only stub",
        ),
        (
            make_task(env={"H": "env:HOME"}),
            "rejected bid: this node does not resolve environment variable H: "
            "environment variable 'HOME' is not in allowed patterns",
        ),
        (
            make_task(env={"X": "env:MY_AWS_X"}),
            "rejected bid: this node does not resolve environment variable X: "
            "environment variable 'MY_AWS_X' is not in allowed patterns",
        ),
        (
            make_task(result_paths=[an_output("../../etc")]),
            "rejected bid: this node does not take '../../etc' as the name of a result path",
        ),
    ],
)
async def test_a_bid_is_refused_with_every_reason(tmp_path: Path, task: object, reason: str) -> None:
    async with bench(tmp_path, env_allow_list=("AWS_*",)) as node:
        answer = await node.peer.bid(make_execution(task))  # type: ignore[arg-type]
        assert not answer.accepted
        assert answer.events is not None
        assert (answer.events[0].message, answer.events[0].topic) == (reason, "Exec Scanning")
        assert "Capacity" not in answer.events[0].details


@pytest.mark.parametrize(
    ("admission", "reason"),
    [
        (
            AdmissionSettings(reject_networked_jobs=True),
            "this node does not run jobs that require network access",
        ),
        (AdmissionSettings(reject_stateless_jobs=True), "this node does not run jobs without inputs"),
        (
            AdmissionSettings(probe_exec="echo no good >&2; exit 1"),
            "this node does not accept the job: no good",
        ),
        (
            AdmissionSettings(
                probe_exec='grep -q "a job" && [ -n "$BACALHAU_JOB_SELECTION_PROBE_DATA" ] && exit 9'
            ),
            "this node does not accept the job: its probe exited with 9",
        ),
    ],
)
async def test_the_node_takes_only_the_jobs_it_was_told_to(
    tmp_path: Path, admission: AdmissionSettings, reason: str
) -> None:
    async with bench(tmp_path, admission=admission) as node:
        task = make_task(network=NetworkConfig(type=NetworkType.HOST))
        answer = await node.peer.bid(make_execution(task))
        assert answer.events is not None
        assert answer.events[0].message == f"rejected bid: {reason}"


async def test_a_node_for_local_data_refuses_remote_inputs(tmp_path: Path) -> None:
    async with bench(tmp_path, admission=AdmissionSettings(locality=Locality.LOCAL)) as node:
        answer = await node.peer.bid(make_execution(make_task(input_sources=[an_input()])))
        assert answer.events is not None
        assert (
            answer.events[0].message == "rejected bid: this node does not run jobs with remote inputs (fake)"
        )


async def test_a_probe_that_agrees_lets_the_job_run(tmp_path: Path) -> None:
    async with bench(tmp_path, admission=AdmissionSettings(probe_exec="cat > /dev/null")) as node:
        assert isinstance(await node.peer.run(make_execution()), RunResult)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, "", None),
        (200, '{"ShouldBid": true}', None),
        (
            200,
            '{"shouldBid": false, "reason": "not on Mondays"}',
            "this node does not accept the job: not on Mondays",
        ),
        (403, "", "this node does not accept the job: its probe answered HTTP 403"),
    ],
)
async def test_a_probe_may_be_a_url(tmp_path: Path, status: int, body: str, message: str | None) -> None:
    shown: list[dict[str, Any]] = []

    async def decide(request: web.Request) -> web.Response:
        shown.append(await request.json())
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_post("/decide", decide)
    async with TestServer(app) as server:
        admission = AdmissionSettings(probe_http=str(server.make_url("/decide")))
        async with bench(tmp_path, admission=admission) as node:
            execution = make_execution()
            answer = await node.peer.bid(execution)
            assert answer.accepted == (message is None)
            assert shown[0]["job"]["ID"] == execution.job_id
            if message is not None:
                assert answer.events is not None
                assert answer.events[0].message == f"rejected bid: {message}"


async def test_a_variable_that_is_allowed_but_not_set_fails_the_execution_by_name(tmp_path: Path) -> None:
    async with bench(tmp_path, env_allow_list=("AWS_*",)) as node:
        answer = await node.peer.run(make_execution(make_task(env={"T": "env:AWS_TOKEN"})))
        assert isinstance(answer, ComputeError)
        assert answer.events is not None
        assert answer.events[0].message == (
            "environment variable T can't be resolved: required environment variable 'AWS_TOKEN' not found"
        )


async def test_objections_of_engine_and_source_are_told_together(node: Bench) -> None:
    node.world.refusal = "this node has no image for arm64"
    node.source.refusal = "this node may not read /etc"
    answer = await node.peer.bid(make_execution(make_task("world", input_sources=[an_input()])))
    assert answer.events is not None
    assert answer.events[0].message == (
        "rejected bid: this node has no image for arm64; this node may not read /etc"
    )


async def test_an_engine_that_cannot_answer_fails_the_execution(node: Bench) -> None:
    node.world.bid_error = EngineError(
        'image not available: "x"', code="ImageNotFound", component="Docker", hint="check the name"
    )
    await node.peer.ask(make_execution(make_task("world")))
    answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].topic == "Exec Scanning"
    assert answer.events[0].details["ErrorCode"] == "Docker:ImageNotFound"
    assert answer.events[0].details["Hint"] == "check the name"


async def test_a_full_node_says_that_it_is_busy_and_an_impossible_wish_that_it_never_fits(
    tmp_path: Path,
) -> None:
    allocated = ResourcesConfig(cpu="1", memory="1Gi", disk="1Gi")
    async with bench(tmp_path, allocated=allocated) as node:
        big = make_task("world", resources=ResourcesConfig(cpu="800m"))
        first, second = make_execution(big), make_execution(big)
        assert (await node.peer.bid(first)).accepted
        busy = await node.peer.bid(second)
        assert busy.events is not None
        assert busy.events[0].message == ("rejected bid: this node is busy: not enough CPU (0.8 > 0.2) free")
        assert busy.events[0].details == {"Capacity": "true"}
        never = await node.peer.bid(make_execution(make_task(resources=ResourcesConfig(cpu="9"))))
        assert never.events is not None
        assert never.events[0].message.startswith(
            "rejected bid: insufficient resources - requested: {CPU: 9.00, "
        )
        assert never.events[0].details == {}
        await node.peer.send(BidRejected(execution_id=first.id))
        third = make_execution(big)
        assert (await node.peer.bid(third)).accepted


async def test_freed_capacity_is_there_when_the_result_arrives_and_told_at_once(tmp_path: Path) -> None:
    allocated = ResourcesConfig(cpu="1", memory="1Gi", disk="1Gi")
    async with bench(tmp_path, allocated=allocated) as node:
        whole = make_task("noop", resources=ResourcesConfig(cpu="1"))
        for _ in range(5):
            # The next offer goes out as soon as the result is in: it must never meet a node that is still full.
            assert isinstance(await node.peer.run(make_execution(whole)), RunResult)
        await node.peer.free_cpu(1.0)


async def test_the_sizes_of_inputs_count_as_disk(tmp_path: Path) -> None:
    async with bench(tmp_path, allocated=ResourcesConfig(cpu="1", memory="1Gi", disk="1Mi")) as node:
        node.source.bytes = 2 << 20
        answer = await node.peer.bid(make_execution(make_task(input_sources=[an_input()])))
        assert answer.events is not None
        assert "insufficient resources" in answer.events[0].message


async def test_a_bid_that_is_never_decided_is_given_up(tmp_path: Path) -> None:
    async with bench(tmp_path, offer_timeout=0.05) as node:
        assert (await node.peer.bid(make_execution())).accepted
        answer = await node.peer.next()
        assert isinstance(answer, ComputeError)
        assert node.free() == node.node.capacity.limit


# ---- what goes wrong


async def test_a_time_out_stops_the_task_and_says_so(node: Bench) -> None:
    task = make_task("noop", {"Sleep": 60}, timeouts=Timeouts(total_timeout=1))
    answer = await node.peer.run(make_execution(task))
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "Execution timed out after 1s"
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
    await asyncio.wait_for(node.world.running.wait(), WAIT)
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
    async with bench(tmp_path, probe_timeout=0.3) as node:
        execution = make_execution(make_task("world"))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT)
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
async def test_whoever_fills_the_disk_fails_and_the_node_lives(tmp_path: Path, who: str) -> None:
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


# ---- cancelling


async def test_cancelling_in_each_phase_ends_it_and_frees_everything(node: Bench) -> None:
    task = make_task("world", input_sources=[an_input()], publisher=STUB)

    async def until(event: asyncio.Event) -> None:
        await asyncio.wait_for(event.wait(), WAIT)
        event.clear()

    offered, fetching, starting, running, publishing = (make_execution(task) for _ in range(5))
    await node.peer.bid(offered)
    await node.peer.cancel(offered)

    node.source.hang = asyncio.Event()
    await node.peer.bid(fetching)
    await node.peer.accept(fetching)
    await until(node.source.fetching)
    await node.peer.cancel(fetching)
    node.source.hang = None

    node.world.hold_start = asyncio.Event()
    await node.peer.bid(starting)
    await node.peer.accept(starting)
    await until(node.world.starting)
    await node.peer.cancel(starting)
    node.world.hold_start = None

    await node.peer.bid(running)
    await node.peer.accept(running)
    await until(node.world.running)
    await node.peer.cancel(running)

    node.publisher.hang = asyncio.Event()
    await node.peer.bid(publishing)
    await node.peer.accept(publishing)
    await until(node.world.running)
    node.world.end(publishing, Outcome(EndReason.EXITED))
    await until(node.publisher.publishing)
    await node.peer.cancel(publishing)

    await node.idle()
    for execution in (offered, fetching, starting, running, publishing):
        record = await node.node.lookup(execution.id)
        assert record is not None
        assert record.phase.wire is ExecutionStateType.CANCELLED
    assert node.free() == node.node.capacity.limit
    assert node.peer.inbox.empty()
    assert not list((node.settings.data_dir / "executions").iterdir())
    assert {starting.id, running.id} <= set(node.world.cancelled)
    assert node.world.outcomes == {}


async def test_a_task_that_will_not_stop_is_given_up_after_a_while(tmp_path: Path) -> None:
    async with bench(tmp_path, cancel_timeout=0.05) as node:
        node.world.deaf = True
        execution = make_execution(make_task("world"))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT)
        await node.peer.cancel(execution)
        await node.idle()
        assert node.free() == node.node.capacity.limit


async def test_what_was_stored_is_acted_upon_even_if_the_carrier_broke_meanwhile(node: Bench) -> None:
    parts = node.node._parts
    assert parts is not None
    execution = make_execution()
    for work in (
        lambda: parts.executions.admit(execution, False),
        lambda: parts.executions.feed(execution.id, Accepted()),
    ):
        handler = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        handler.cancel()
        assert isinstance(await node.peer.next(), (BidResult, RunResult))
    await node.idle()


async def test_late_and_unknown_messages_are_harmless(node: Bench) -> None:
    execution = make_execution()
    await node.peer.run(execution)
    for _ in range(2):
        await node.peer.ask(execution)
        await node.peer.accept(execution)
        await node.peer.cancel(execution)
    await node.peer.cancel(make_execution())
    await node.peer.accept(make_execution())
    assert isinstance(await node.peer.run(make_execution()), RunResult)
    assert node.peer.inbox.empty()


# ---- the link


async def test_a_node_that_the_orchestrator_forgot_introduces_itself_again(tmp_path: Path) -> None:
    async with bench(tmp_path, heartbeat_interval=0.02) as node:
        await node.peer.hears(HeartbeatRequest)
        node.peer.known = False
        await node.peer.hears(HandshakeRequest, 2)
        assert isinstance(await node.peer.run(make_execution()), RunResult)


async def test_messages_that_were_refused_are_sent_again_in_order(tmp_path: Path) -> None:
    async with bench(tmp_path, reconnect_first=0.01) as node:
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


async def test_a_refused_message_holds_back_those_behind_it_and_none_is_lost(tmp_path: Path) -> None:
    async with bench(tmp_path, reconnect_first=0.01) as node:
        node.peer.refuse_messages = 1_000_000
        executions = [make_execution(direct=True) for _ in range(5)]
        for execution in executions:
            await node.peer.ask(execution)
        await node.idle()
        node.peer.refuse_once = {executions[2].id}
        node.peer.refuse_messages = 0
        results = [await node.peer.next() for _ in executions]
        assert {result.execution_id for result in results} == {execution.id for execution in executions}
        seqs = [envelope.seq for envelope in node.peer.envelopes]
        assert seqs == sorted(set(seqs))
        assert not node.peer.refuse_once


async def test_heartbeats_tell_how_far_the_node_has_listened(tmp_path: Path) -> None:
    async with bench(tmp_path, heartbeat_interval=0.02) as node:
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


# ---- restarts


async def test_a_running_task_is_attached_again_and_runs_only_once(node: Bench) -> None:
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    await node.crash()
    await node.restart()
    assert node.free().cpu < node.node.capacity.limit.cpu
    node.world.end(execution, Outcome(EndReason.EXITED, 4), b"one line\n")
    result = await node.peer.next()
    assert isinstance(result, RunResult)
    assert result.run_command_result is not None
    assert (result.run_command_result.exit_code, result.run_command_result.stdout) == (4, "one line\n")
    assert node.world.started == [execution.id]
    await node.idle()
    assert node.free() == node.node.capacity.limit


async def test_what_finished_while_the_node_was_away_is_collected(node: Bench) -> None:
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    await node.crash()
    node.world.end(execution, Outcome(EndReason.EXITED))
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)
    assert node.world.started == [execution.id]


async def test_a_crash_while_publishing_publishes_again_but_runs_once(node: Bench) -> None:
    node.publisher.hang = asyncio.Event()
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    node.world.end(execution, Outcome(EndReason.EXITED), b"out\n")
    await asyncio.wait_for(node.publisher.publishing.wait(), WAIT)
    await node.crash()
    node.publisher.hang = None
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)
    assert node.publisher.tries == 2
    assert node.publisher.published[execution.id]["stdout"] == "out\n"
    assert node.world.started == [execution.id]


async def test_a_crash_while_fetching_fetches_afresh(node: Bench) -> None:
    node.source.hang = asyncio.Event()
    execution = make_execution(make_task("noop", input_sources=[an_input()]))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.source.fetching.wait(), WAIT)
    await node.crash()
    node.source.hang = None
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)


async def test_an_open_bid_survives_a_restart(node: Bench) -> None:
    execution = make_execution()
    assert (await node.peer.bid(execution)).accepted
    await node.crash()
    await node.restart()
    await node.peer.accept(execution)
    assert isinstance(await node.peer.next(), RunResult)


async def test_a_lost_task_fails_so_that_the_orchestrator_tries_again(node: Bench) -> None:
    execution = make_execution(make_task("world"))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    await node.reaches(execution, "running")
    await node.crash()
    node.world.outcomes.clear()
    await node.restart()
    answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "Failing due to node restart"


async def test_a_cancelled_task_that_survived_the_crash_is_stopped_after_it(node: Bench) -> None:
    node.world.deaf = True
    execution = make_execution(make_task("world"))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT)
    await node.peer.cancel(execution)
    await node.crash()
    node.world.deaf = False
    await node.restart()
    await node.idle()
    record = await node.node.lookup(execution.id)
    assert record is not None
    assert record.phase.wire is ExecutionStateType.CANCELLED
    assert node.world.outcomes == {}


async def test_what_belongs_to_no_execution_is_swept(node: Bench) -> None:
    await node.crash()
    node.world.outcomes["e-orphan"] = asyncio.get_running_loop().create_future()
    await node.restart()
    await asyncio.wait_for(node.world.swept.wait(), WAIT)
    assert node.world.outcomes == {}
    assert node.world.cancelled == ["e-orphan"]


async def test_results_that_could_not_be_delivered_before_a_crash_are_delivered_after_it(node: Bench) -> None:
    execution = make_execution()
    await node.peer.bid(execution)
    node.peer.refuse_messages = 1_000_000
    await node.peer.accept(execution)
    await node.idle()
    await node.crash()
    node.peer.refuse_messages = 0
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)


# ---- logs and tidying up


async def test_logs_can_be_read_through_the_carrier_after_the_end(node: Bench) -> None:
    execution = make_execution(make_task("noop", {"Stdout": "kept\n"}))
    await node.peer.run(execution)
    request = ExecutionLogsRequest(execution_id=execution.id, node_id="n-test", follow=True)
    async with asyncio.timeout(WAIT):
        lines = [frame.value.line async for frame in node.peer.end.logs(request)]
    assert lines == ["kept\n"]


async def test_directories_and_logs_are_removed_when_their_time_has_come(tmp_path: Path) -> None:
    async with bench(tmp_path, directory_retention=0.0, log_retention=0.0) as node:
        execution = make_execution(make_task("noop", {"Stdout": "x"}))
        await node.peer.run(execution)
        await node.idle()
        assert (node.settings.data_dir / "executions" / execution.id).exists()
        await node.node.tidy()
        assert not (node.settings.data_dir / "executions" / execution.id).exists()
        assert list((node.settings.data_dir / "logs").iterdir()) == []
        assert await node.node.lookup(execution.id) is None


async def test_fifty_jobs_at_once_all_run_when_each_is_offered_again(tmp_path: Path) -> None:
    allocated = ResourcesConfig(cpu="2", memory="4Gi", disk="1Gi")
    async with bench(tmp_path, allocated=allocated) as node:
        task = make_task("noop", {"Sleep": 0.01}, resources=ResourcesConfig(cpu="500m"))
        waiting, done, asked = [make_execution(task) for _ in range(50)], 0, {}
        for execution in waiting:
            asked[execution.id] = execution
            await node.peer.ask(execution)
        most = 0
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

"""How a compute node answers offers: what it refuses, with which reasons, and when it is full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.compute.bidder import Bidder
from bacalhau_jupyter.compute.execution.events import BidMade
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import AdmissionSettings, ComputeSettings, Locality
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import (
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
)
from bacalhau_jupyter.models.wire.messages import (
    BidRejected,
    BidResult,
    ComputeError,
    RunResult,
)
from bacalhau_jupyter.plugins.contract import Availability
from tests.compute.makers import STUB, an_input, an_output, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, StubPublisher, StubSource, World, WorldEngine, bench


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
        (
            AdmissionSettings(reject_stateless_jobs=True),
            "this node does not accept jobs without any input volumes",
        ),
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
async def test_the_node_takes_only_jobs_that_its_configuration_admits(
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
            answer.events[0].message
            == "rejected bid: this node does not have all input data locally (1 inputs require downloading): fake"
        )


async def test_a_probe_that_agrees_lets_the_job_run(tmp_path: Path) -> None:
    async with bench(tmp_path, admission=AdmissionSettings(probe_exec="cat > /dev/null")) as node:
        assert isinstance(await node.peer.run(make_execution()), RunResult)


@pytest.mark.parametrize(
    ("status", "kind", "body", "message"),
    [
        (200, "text/plain", "", None),
        (200, "text/plain", "no", None),
        (200, "application/json", '{"ShouldBid": true}', None),
        (200, "application/json; charset=utf-8", '{"ShouldBid": true, "Reason": null}', None),
        (
            200,
            "application/json",
            '{"shouldBid": false, "reason": "not on Mondays"}',
            "this node does not accept the job: not on Mondays",
        ),
        (403, "text/plain", "", "this node does not accept the job: its probe answered HTTP 403"),
    ],
)
async def test_a_probe_may_be_a_url(
    tmp_path: Path, status: int, kind: str, body: str, message: str | None
) -> None:
    bodies, answer = await asked(tmp_path, status, kind, body)
    assert answer.accepted == (message is None)
    # The official document: one member, the job.
    assert list(bodies[0]) == ["Job"]
    assert bodies[0]["Job"]["Tasks"][0]["Engine"]["Type"]
    if message is not None:
        assert answer.events is not None
        assert answer.events[0].message == f"rejected bid: {message}"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"yes"',
        '{"foo": 1}',
        '{"ShouldBid": "no"}',
        '{"ShouldBid": "true"}',
        '{"ShouldBid": 1}',
        '{"ShouldBid": null}',
        '{"ShouldBid": true, "Reason": 5}',
        "[" * 50_000,
        '{"ShouldBid": true, "Reason": "' + "x" * 100_000 + '"}',
    ],
)
async def test_a_probe_whose_json_is_not_a_decision_accepts_nothing(tmp_path: Path, body: str) -> None:
    _, answer = await asked(tmp_path, 200, "application/json", body)
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message.startswith("the job selection probe answered with JSON that is not")


async def test_a_probe_that_cannot_be_reached_accepts_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    admission = AdmissionSettings(probe_http=f"http://127.0.0.1:{unused_tcp_port}/")
    async with bench(tmp_path, admission=admission) as node:
        await node.peer.ask(make_execution())
        answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message.startswith("the job selection probe could not be reached")


async def asked(tmp_path: Path, status: int, kind: str, body: str) -> tuple[list[dict[str, Any]], Any]:
    """Ask for a bid where a URL decides; return what the URL got, and the node's answer."""
    bodies: list[dict[str, Any]] = []

    async def decide(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(status=status, body=body.encode(), headers={"Content-Type": kind})

    app = web.Application()
    app.router.add_post("/decide", decide)
    async with TestServer(app) as server:
        admission = AdmissionSettings(probe_http=str(server.make_url("/decide")))
        async with bench(tmp_path, admission=admission) as node:
            await node.peer.ask(make_execution())
            return bodies, await node.peer.next()


async def test_a_variable_that_is_allowed_but_not_set_fails_the_execution_by_name(tmp_path: Path) -> None:
    async with bench(tmp_path, env_allow_list=("AWS_*",)) as node:
        answer = await node.peer.run(make_execution(make_task(env={"T": "env:AWS_TOKEN"})))
        assert isinstance(answer, ComputeError)
        assert answer.events is not None
        assert answer.events[0].message == (
            "environment variable T can't be resolved: required environment variable 'AWS_TOKEN' not found"
        )


async def test_objections_of_engine_and_source_are_reported_together(node: Bench) -> None:
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


async def test_the_reasons_of_a_full_node_and_of_an_impossible_request_differ(
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


async def test_freed_capacity_is_there_when_the_result_arrives_and_is_reported_at_once(
    tmp_path: Path,
) -> None:
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
    async with bench(tmp_path, offer_timeout_s=0.05) as node:
        assert (await node.peer.bid(make_execution())).accepted
        answer = await node.peer.next()
        assert isinstance(answer, ComputeError)
        assert node.free() == node.node.capacity.limit


async def test_what_taking_a_job_means_is_told_with_the_bid(tmp_path: Path) -> None:
    async with bench(tmp_path) as node:
        node.world.bid_note = "the image mine:1 will be copied from this machine (253 MB)"
        bid = await node.peer.bid(make_execution(make_task("world")))
        assert bid.accepted
        assert [event.message for event in bid.events or ()] == [node.world.bid_note]
        await node.peer.ask(make_execution(make_task("world"), direct=True))
        direct_bid = await node.peer.next()
        assert isinstance(direct_bid, BidResult)
        assert [event.message for event in direct_bid.events or ()] == [node.world.bid_note]


@pytest.mark.parametrize("late", ["engine", "source", "publisher"])
async def test_an_offer_waits_for_what_has_not_said_yet_whether_it_works(tmp_path: Path, late: str) -> None:
    engine, source, publisher = WorldEngine(World()), StubSource(), StubPublisher()
    plugin: Any = {"engine": engine, "source": source, "publisher": publisher}[late]
    answer, asked = asyncio.Event(), asyncio.Event()

    async def probe() -> Availability:
        asked.set()
        await answer.wait()
        return Availability(True, "late 1.0")

    plugin.probe = probe
    plugins = Plugins({"world": engine}, {"fake": source}, {"stub": publisher})
    await plugins.probe(WAIT_S, patience_s=0.0)
    settings = ComputeSettings(node_id="n-1", data_dir=tmp_path)
    bidder = Bidder(settings, plugins, Capacity(Resources(cpu=1, memory=10**9, disk=10**9)))
    execution = make_execution(make_task("world", input_sources=[an_input()], publisher=STUB))
    bidding = asyncio.create_task(bidder.evaluate(execution))
    async with asyncio.timeout(WAIT_S):
        await asked.wait()
        assert await asyncio.wait({bidding}, timeout=0.2) == (set(), {bidding})
        answer.set()
        assert isinstance(await bidding, BidMade)
    await plugins.close(WAIT_S)

"""Nodes of ours and official ones under one orchestrator: each gets what it can run, and a refusal is no failure."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, Timeouts, replace
from bacalhau_jupyter.models.records.node import BuildVersionInfo, ComputeNodeInfo, NodeInfo
from bacalhau_jupyter.models.wire.messages import HandshakeRequest, HandshakeResponse
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.transport.base import Way
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.orchestrator.support import Peer, ended, in_state, noop_job, orchestrator, reached

CAPACITY = Resources(cpu=1.6, memory=20 * 10**9, disk=10**11)


def official(node_id: str) -> NodeInfo:
    """The description that an official v1.9.3 node sends (ncl-protocol.md, §3.1)."""
    return NodeInfo(
        node_id=node_id,
        labels={"name": node_id, "os_arch": "amd64", "os_type": "linux"},
        supported_protocols=["bprotocol/v2", "ncl/v1"],
        compute_node_info=ComputeNodeInfo(
            execution_engines=["wasm", "docker"],
            publishers=["noop", "s3managed", "local"],
            storage_sources=["inline", "urldownload"],
            max_capacity=CAPACITY,
            available_capacity=CAPACITY,
            max_job_requirements=CAPACITY,
        ),
        bacalhau_version=BuildVersionInfo(major="1", minor="9", git_version="v1.9.3"),
    )


def ours(node_id: str) -> NodeInfo:
    info = official(node_id)
    compute = replace(
        info.compute_node_info,
        execution_engines=["docker", "process"],
        storage_sources=["inline", "urlDownload", "urlArchive", "pythonPackages"],
    )
    return replace(info, compute_node_info=compute, jupyter_version="1.0")


def carrier() -> MemoryTransport:
    return MemoryTransport(wire=True, ways={"n-stock": Way("nats", 1 << 20), "n-other": Way("nats", 1 << 20)})


async def join(peer: Peer, info: NodeInfo) -> None:
    peer.end = peer.transport.compute_end(peer.node_id)
    await peer.end.connect(peer.node_id, peer.take, peer.logs)
    answer = await peer.end.request(HandshakeRequest(node_info=info))
    assert isinstance(answer, HandshakeResponse) and answer.accepted


def job(engine: str = "docker", source: str = "", queue_s: int = 0) -> Job:
    made = noop_job(f"{engine}-{source or 'plain'}", engine=engine, timeouts=Timeouts(queue_timeout=queue_s))
    inputs = [InputSource(source=SpecConfig(type=source), target="/inputs/x")] if source else []
    task: Task = replace(made.task, input_sources=inputs)
    return replace(made, tasks=[task])


async def reasons(service: Orchestrator, job_id: str) -> dict[str, str]:
    explanation = await service.explain(job_id, "", lambda namespace: True)
    return {verdict.node_id: verdict.reason for verdict in explanation.nodes}


ONLY_OURS = [("process", ""), ("docker", "urlArchive"), ("docker", "pythonPackages")]


@pytest.mark.parametrize(("engine", "source"), ONLY_OURS)
async def test_what_only_our_nodes_run_goes_to_them_and_explain_says_why_not_elsewhere(
    engine: str, source: str
) -> None:
    transport = carrier()
    async with orchestrator(transport=transport) as (service, _):
        stock, mine = Peer(transport, "n-stock"), Peer(transport, "n-mine", hold=True)
        await join(stock, official("n-stock"))
        await join(mine, ours("n-mine"))
        job_id = (await service.submit(job(engine, source))).job_id
        await mine.until(lambda: bool(mine.started))
        assert (await reasons(service, job_id))["n-stock"].startswith(f"does not support {source or engine}")
        await mine.finish(mine.started[0])
        done = await ended(service, job_id)
        assert done.state.state_type is JobStateType.COMPLETED
        assert not stock.offered


@pytest.mark.parametrize(("engine", "source"), ONLY_OURS)
async def test_with_official_nodes_only_it_fails_at_once_with_the_reason_and_is_never_sent(
    engine: str, source: str
) -> None:
    transport = carrier()
    async with orchestrator(transport=transport) as (service, _):
        stock = Peer(transport, "n-stock")
        await join(stock, official("n-stock"))
        failed = await ended(service, (await service.submit(job(engine, source))).job_id)
        assert failed.state.state_type is JobStateType.FAILED
        assert f"does not support {source or engine}" in failed.state.message
        assert not stock.offered


async def test_where_other_nodes_may_join_it_waits_and_runs_on_the_one_of_ours_that_does() -> None:
    transport = carrier()
    async with orchestrator(transport=transport, queue_unsuitable=True) as (service, _):
        stock, mine = Peer(transport, "n-stock"), Peer(transport, "n-mine")
        await join(stock, official("n-stock"))
        job_id = (await service.submit(job("process", queue_s=10_000))).job_id
        queued = await reached(service, job_id, in_state(JobStateType.QUEUED))
        assert "does not support process" in queued.state.message
        await join(mine, ours("n-mine"))
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED


async def test_a_bid_that_an_official_node_rejects_is_no_failure_and_another_node_runs_the_job() -> None:
    transport = carrier()
    async with orchestrator(transport=transport) as (service, _):
        words = "this node does not accept jobs from unknown places"
        picky, other = Peer(transport, "n-stock", bid=lambda _: words), Peer(transport, "n-other")
        await join(picky, official("n-stock"))
        first = (await service.submit(job(queue_s=10_000))).job_id
        failed = await ended(service, first)
        assert words in failed.state.message
        await join(other, official("n-other"))
        for _ in range(3):
            again = await service.rerun(first)
            done = await ended(service, again.job_id)
            assert done.state.state_type is JobStateType.COMPLETED
        assert len(other.started) == 3 and not picky.started


async def test_a_job_that_failed_on_one_node_is_run_by_another_one() -> None:
    transport = carrier()
    async with orchestrator(transport=transport) as (service, _):
        broken = Peer(transport, "n-stock", run=lambda _: "image not available")
        other = Peer(transport, "n-other", run=lambda _: "image not available")
        await join(broken, official("n-stock"))
        await join(other, official("n-other"))
        failed = await ended(service, (await service.submit(job())).job_id)
        # Each node has two attempts, as officially, and the first two are on different ones.
        assert "image not available" in failed.state.message
        assert (len(broken.started), len(other.started)) == (2, 2)
        other.run = lambda _: None
        done = await ended(service, (await service.submit(replace(job(), name="again"))).job_id)
        assert done.state.state_type is JobStateType.COMPLETED

"""Nodes that only a network reaches, with an orchestrator that runs: who joins, what is placed there, what is told."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import InputSource, NetworkConfig, NetworkType, SpecConfig, replace
from bacalhau_jupyter.models.records.node import BuildVersionInfo, NodeInfo, NodeState
from bacalhau_jupyter.models.records.uploads import content_path
from bacalhau_jupyter.models.wire.messages import (
    CancelExecution,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    UpdateNodeInfoRequest,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.membership.nodes import SETTLE_S
from bacalhau_jupyter.orchestrator.peers import pace
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.transport.base import Way
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.clock import ManualClock
from tests.orchestrator.support import Peer, ended, in_state, node_info, noop_job, orchestrator, reached

FAR = Way("nats", 1 << 20)
NOON = 1_790_000_000 * 10**9
LINK = f"http://127.0.0.1:1234{content_path('ab' * 32, 'data.csv')}?expires=9&signature=s"


def network(*node_ids: str) -> MemoryTransport:
    """A carrier that reaches these nodes as NATS does."""
    return MemoryTransport(wire=True, ways=dict.fromkeys(node_ids, FAR))


async def shake(peer: Peer, info: NodeInfo | None = None, started_ns: int = 0) -> HandshakeResponse:
    request = HandshakeRequest(
        node_info=info or node_info(peer.node_id), start_time=rfc3339(started_ns) if started_ns else ""
    )
    answer = await peer.end.request(request)
    assert isinstance(answer, HandshakeResponse)
    return answer


def with_input(url: str) -> Job:
    job = noop_job("linked")
    source = InputSource(source=SpecConfig(type="inline", params={"URL": url}), target="/inputs/x")
    return replace(job, tasks=[replace(job.task, input_sources=[source])])


def padded(size: int) -> Job:
    job = noop_job("large")
    return replace(job, tasks=[replace(job.task, env={"PADDING": "x" * size})])


async def state_of(service: Orchestrator, node_id: str) -> NodeState:
    return await service.node(node_id)


@pytest.mark.parametrize(("version", "name"), [("", "Full"), ("1.0", "Host")])
async def test_an_official_node_gets_the_old_name_of_the_host_network_and_ours_the_new_one(
    version: str, name: str
) -> None:
    # Not in bytes: reading would make both names one.
    transport = MemoryTransport(ways={"n-1": FAR})
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport)
        await peer.join()
        await shake(peer, replace(node_info("n-1"), jupyter_version=version))
        job = noop_job("a")
        job = replace(job, tasks=[replace(job.task, network=NetworkConfig(type=NetworkType.HOST))])
        await ended(service, (await service.submit(job)).job_id)
        (offer,) = peer.offered.values()
        assert offer.job is not None and offer.job.task.network.type.value == name


@pytest.mark.parametrize(("version", "settle_s"), [("", SETTLE_S), ("1.0", 0.0)])
async def test_an_official_node_that_was_started_again_gets_a_moment_for_what_it_ran(
    version: str, settle_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled_for = list[float]()
    connect = Dispatcher.connect

    def connected(self: Dispatcher, node_id: str, settle_s: float = 0.0) -> int:
        settled_for.append(settle_s)
        return connect(self, node_id)

    monkeypatch.setattr(Dispatcher, "connect", connected)
    transport = network("n-1")
    async with orchestrator(transport=transport):
        peer = Peer(transport)
        await peer.join()
        info = replace(node_info("n-1"), jupyter_version=version)
        for started_ns in (NOON, NOON, NOON + SECOND):
            assert (await shake(peer, info, started_ns)).accepted
    # Its first start, and coming back without one, are no restart.
    assert settled_for == [0.0, 0.0, 0.0, settle_s]


async def test_a_spec_that_no_link_carries_is_refused_at_submit_with_its_bytes_and_the_way_out() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        await Peer(transport).join()
        with pytest.raises(BadRequest, match=r"the job's spec has 2,000,\d+ bytes, and the links") as caught:
            await service.submit(padded(2_000_000))
        assert "upload it" in caught.value.hint
        done = await ended(service, (await service.submit(padded(900_000))).job_id)
        assert done.state.state_type is JobStateType.COMPLETED


async def test_a_large_spec_goes_to_the_node_that_is_near_and_explain_says_why_not_elsewhere() -> None:
    transport = network("n-far")
    async with orchestrator(transport=transport) as (service, _):
        near, far = Peer(transport, "n-near"), Peer(transport, "n-far")
        await near.join()
        await far.join()
        job_id = (await service.submit(padded(2_000_000))).job_id
        await ended(service, job_id)
        assert len(near.started) == 1 and not far.offered
        explanation = await service.explain(job_id, "", lambda namespace: True)
        reasons = {verdict.node_id: verdict.reason for verdict in explanation.nodes}
        assert "bytes, and the link to the node carries 1,015,808" in reasons["n-far"]


async def test_a_job_with_a_link_to_this_machine_runs_near_unless_an_address_is_advertised() -> None:
    transport = network("n-far")
    async with orchestrator(transport=transport) as (service, _):
        far = Peer(transport, "n-far")
        await far.join()
        job = await ended(service, (await service.submit(with_input(LINK))).job_id)
        assert job.state.state_type is JobStateType.FAILED
        assert "no address is advertised" in job.state.message
        await Peer(transport, "n-near").join()
        done = await ended(service, (await service.rerun(job.id)).job_id)
        assert not far.offered
    transport = network("n-far")
    async with orchestrator(transport=transport, far_address=lambda: "https://box:9") as (service, _):
        far = Peer(transport, "n-far")
        await far.join()
        done = await ended(service, (await service.submit(with_input(LINK))).job_id)
        assert done.state.state_type is JobStateType.COMPLETED
        (offer,) = far.offered.values()
        assert offer.job is not None
        assert str(offer.job.task.input_sources[0].source.param("URL")).startswith("https://box:9/api/v1/")


async def test_results_that_a_far_node_could_not_send_are_made_by_a_near_one() -> None:
    transport = network("n-far")
    problem = "no way to this machine is known"
    async with orchestrator(transport=transport, upload_problem=lambda: problem) as (service, _):
        far = Peer(transport, "n-far")
        await far.join()
        managed = SpecConfig(type="s3managed")
        job = await ended(service, (await service.submit(noop_job("a", publisher=managed))).job_id)
        assert job.state.state_type is JobStateType.FAILED
        assert problem in job.state.message
        await Peer(transport, "n-near").join()
        done = await ended(service, (await service.rerun(job.id)).job_id)
        assert done.state.state_type is JobStateType.COMPLETED
        assert not far.offered


async def test_a_node_of_another_process_on_this_machine_needs_no_address_of_it() -> None:
    here = Way("nats", 1 << 20, is_here=True)
    transport = MemoryTransport(wire=True, ways={"n-far": FAR, "n-here": here})
    async with orchestrator(
        transport=transport,
        upload_signer=lambda job, execution: "",
        upload_problem=lambda: "no way to this machine is known",
        upload_signer_here=lambda job, execution: f"http://127.0.0.1:1/{execution}",
    ) as (service, _):
        far, near = Peer(transport, "n-far"), Peer(transport, "n-here")
        await far.join()
        await near.join()
        managed = replace(with_input(LINK), name="managed")
        managed = replace(managed, tasks=[replace(managed.task, publisher=SpecConfig(type="s3managed"))])
        done = await ended(service, (await service.submit(managed)).job_id)
        assert done.state.state_type is JobStateType.COMPLETED
        assert not far.offered
        (offer,) = near.offered.values()
        assert offer.job is not None
        # The link stays as it is: it leads to this machine.
        assert offer.job.task.input_sources[0].source.param("URL") == LINK


async def test_a_node_of_an_old_version_is_listed_with_the_reason_and_gets_no_job() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport)
        await peer.join()
        old = replace(node_info("n-1"), bacalhau_version=BuildVersionInfo(git_version="v1.5.2"))
        assert (await shake(peer, old)).accepted
        (state,) = await service.nodes(NodeQuery())
        assert state.notices == ["its version v1.5.2 is too old to get jobs here; v1.6.0 or later does"]
        job = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert "v1.5.2 is too old" in job.state.message
        assert not peer.offered


async def test_two_nodes_with_one_id_are_told_apart_and_the_operator_is_told() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport, hold=True)
        await peer.join()
        assert (await shake(peer, started_ns=NOON)).accepted
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.started))
        # A copy of the machine starts; then the first one sends a heartbeat.
        assert (await shake(peer, started_ns=NOON + 10**10)).accepted
        with pytest.raises(BacalhauError, match="handshake required"):
            await peer.heartbeat()
        refused = await shake(peer, started_ns=NOON)
        assert not refused.accepted and "two nodes use this ID" in refused.reason
        assert (await state_of(service, "n-1")).notices == [refused.reason]
        assert (await shake(peer, started_ns=NOON + 10**10)).accepted
        await peer.heartbeat()
        await peer.finish(peer.started[0])
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED


async def test_nodes_of_one_name_are_told_to_the_operator() -> None:
    transport = network("n-1", "n-2")
    async with orchestrator(transport=transport) as (service, _):
        for name in ("n-1", "n-2"):
            peer = Peer(transport, name)
            await peer.join()
            await shake(peer, replace(node_info(name), labels={"name": "gpu"}))
        assert ["name=gpu" in " ".join(state.notices) for state in await service.nodes(NodeQuery())] == [
            True,
            True,
        ]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (replace(node_info("n-1"), labels={"zone": "x" * 10**7}), "description has 10,000,"),
        (
            replace(node_info("n-1"), labels={"zone": "\x1b]0;owned\x07"}),
            r"zone holds an invisible character",
        ),
    ],
)
async def test_a_hostile_description_is_refused_at_the_handshake_and_later(
    info: NodeInfo, words: str
) -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport)
        await peer.join()
        answer = await shake(peer, info)
        assert not answer.accepted and words in answer.reason
        update = await peer.end.request(UpdateNodeInfoRequest(node_info=info))
        assert isinstance(update, UpdateNodeInfoResponse)
        assert not update.accepted and words in update.reason
        # It stays what it was.
        assert (await state_of(service, "n-1")).info == node_info("n-1")
        with pytest.raises(BadRequest, match="can't be: -1"):
            await peer.end.request(HeartbeatRequest(node_id="n-1", available_capacity=Resources(memory=-1)))


async def test_a_node_that_floods_handshakes_is_held_back_and_the_others_are_not() -> None:
    transport = network("n-1", "n-2")
    clock = ManualClock()
    async with orchestrator(transport=transport, clock=clock) as (service, _):
        peer, other = Peer(transport), Peer(transport, "n-2")
        await peer.join()
        for _ in range(int(pace.BURST) - 1):
            await shake(peer)
        with pytest.raises(BacalhauError, match="too often") as caught:
            await shake(peer)
        assert caught.value.code == "TooManyRequests"
        await peer.heartbeat()
        await other.join()
        done = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert done.state.state_type is JobStateType.COMPLETED
        clock.advance(2)
        assert (await shake(peer)).accepted


async def test_a_rejected_far_node_is_told_to_stop_what_it_runs_and_stays_out() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.started))
        await service.change_node("n-1", "reject", "not this one")
        await peer.until(lambda: any(isinstance(message, CancelExecution) for message in peer.received))
        assert not peer.running
        assert not (await shake(peer)).accepted
        await ended(service, job_id)
        await service.change_node("n-1", "approve")
        assert (await shake(peer)).accepted
        again = (await service.submit(noop_job("b"))).job_id
        await reached(service, again, in_state(JobStateType.RUNNING))


async def test_a_deleted_far_node_is_told_to_stop_what_it_runs_when_it_is_back() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.started))
        await service.change_node("n-1", "delete")
        await ended(service, job_id)
        with pytest.raises(BacalhauError, match="handshake required"):
            await peer.heartbeat()
        assert (await shake(peer)).accepted
        await peer.until(lambda: any(isinstance(message, CancelExecution) for message in peer.received))


async def test_a_message_of_a_node_for_an_orchestrator_only_changes_nothing() -> None:
    transport = network("n-1")
    async with orchestrator(transport=transport) as (service, _):
        peer = Peer(transport)
        await peer.join()
        await peer.report(CancelExecution(execution_id="e"))  # type: ignore[arg-type]
        done = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert done.state.state_type is JobStateType.COMPLETED

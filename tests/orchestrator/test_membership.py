from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.database import DatabaseError
from bacalhau_jupyter.models.errors import BadRequest, Conflict, HandshakeRequired, NotFound
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Timeouts, replace
from bacalhau_jupyter.models.records.node import Membership, NodeConnection, NodeType
from bacalhau_jupyter.models.wire.messages import (
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    PreSignURLRequest,
    ShutdownNoticeRequest,
    UpdateNodeInfoRequest,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.orchestrator.membership.members import Member
from bacalhau_jupyter.orchestrator.store import executions
from tests.clock import ManualClock
from tests.orchestrator.support import (
    Peer,
    ended,
    in_state,
    node_info,
    noop_job,
    orchestrator,
    reached,
    topics,
)
from tests.services.waiting import until

WAIT = Timeouts(queue_timeout=100_000)


async def test_a_handshake_registers_and_a_second_one_reconnects() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        first = await peer.join()
        assert (first.accepted, first.reason, first.last_orchestrator_seq_num) == (True, "node registered", 0)
        await ended(service, (await service.submit(noop_job("a"))).job_id)
        again = await peer.join()
        assert (again.reason, again.last_compute_seq_num, again.last_orchestrator_seq_num) == (
            "node reconnected",
            2,
            2,
        )
        state = await service.node("n-1")
        assert (state.membership, state.connection) == (Membership.APPROVED, NodeConnection.CONNECTED)
        assert state.connection_state.disconnected_since == "0001-01-01T00:00:00Z"


async def test_what_changes_about_a_node_is_pushed_to_watchers_and_never_replayed() -> None:
    async with orchestrator() as (service, transport):
        seen: list[tuple[int, str, str, str]] = []

        all_seen = asyncio.Event()

        async def watch() -> None:
            async for event in service.events(None, "", ["Node"]):
                seen.append((event.seq, event.job, event.node, event.message))
                if len(seen) == 4:
                    all_seen.set()

        watcher = asyncio.create_task(watch())
        await asyncio.sleep(0)
        peer = Peer(transport)
        await peer.join()
        await peer.heartbeat()
        await peer.heartbeat(Resources(cpu=1.0, memory=4 * 10**9, disk=10**11))
        await service.change_node("n-1", "reject")
        await service.change_node("n-1", "delete")
        async with asyncio.timeout(60):
            await all_seen.wait()
        watcher.cancel()
        assert [event[3] for event in seen] == [
            "Node connected",
            "Node capacity changed",
            "Node rejected",
            "Node deleted",
        ]
        assert {event[:3] for event in seen} == {(0, "", "n-1")}


async def test_who_did_not_shake_hands_is_asked_to() -> None:
    async with orchestrator() as (_, transport):
        end = transport.compute_end("n-9")
        for request in (
            HeartbeatRequest(node_id="n-9"),
            UpdateNodeInfoRequest(node_info=node_info("n-9")),
            ShutdownNoticeRequest(node_id="n-9"),
        ):
            with pytest.raises(HandshakeRequired, match="node n-9 not connected - handshake required"):
                await end.request(request)
        with pytest.raises(BadRequest, match="in the name of"):
            await end.request(HeartbeatRequest(node_id="n-8"))
        with pytest.raises(BadRequest, match=r"^Managed S3 publisher is not available$"):
            await end.request(PreSignURLRequest())


async def test_a_requester_is_not_a_compute_node_and_a_rejected_node_stays_out() -> None:
    async with orchestrator() as (service, transport):
        end = transport.compute_end("n-1")
        info = replace(node_info("n-1"), node_type=NodeType.REQUESTER)
        refused = await end.request(HandshakeRequest(node_info=info))
        assert isinstance(refused, HandshakeResponse)
        assert (refused.accepted, refused.reason) == (False, "node is not a compute node")
        peer = Peer(transport)
        await peer.join()
        await service.change_node("n-1", "reject", "too slow")
        again = await peer.join()
        assert (again.accepted, again.reason) == (False, "node has been rejected")
        assert (await service.node("n-1")).connection_state.last_error == "too slow"


async def test_a_new_node_waits_for_approval_if_so_configured_and_then_gets_the_waiting_jobs() -> None:
    async with orchestrator(manual_approval=True) as (service, transport):
        await Peer(transport).join()
        job_id = (await service.submit(noop_job("a", timeouts=WAIT))).job_id
        await reached(service, job_id, in_state(JobStateType.QUEUED))
        assert [n.membership for n in await service.nodes(NodeQuery(approval="pending"))] == [
            Membership.PENDING
        ]
        await service.change_node("n-", "approve")
        await ended(service, job_id)
        with pytest.raises(Conflict, match="node n-1 already approved") as caught:
            await service.change_node("n-1", "approve")
        assert caught.value.code == "ConflictNodeState"
        with pytest.raises(BadRequest, match="unknown node action"):
            await service.change_node("n-1", "promote")
        await service.change_node("n-1", "delete")
        with pytest.raises(NotFound, match="node not found: n-1"):
            await service.node("n-1")


async def test_a_node_that_joins_gets_the_queued_jobs() -> None:
    async with orchestrator() as (service, transport):
        ids = [(await service.submit(noop_job(f"j{n}", timeouts=WAIT))).job_id for n in range(3)]
        for job_id in ids:
            await reached(service, job_id, in_state(JobStateType.QUEUED))
        await Peer(transport).join()
        for job_id in ids:
            assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED


async def test_an_update_of_a_nodes_description_is_used_for_waiting_jobs() -> None:
    async with orchestrator(queue_unsuitable=True) as (service, transport):
        peer = Peer(transport)
        await peer.join()
        job_id = (await service.submit(noop_job("a", cpu="4", timeouts=WAIT))).job_id
        await reached(service, job_id, in_state(JobStateType.QUEUED))
        bigger = node_info("n-1", Resources(cpu=8, memory=10**10, disk=10**12))
        assert await peer.end.request(UpdateNodeInfoRequest(node_info=bigger)) == UpdateNodeInfoResponse(
            accepted=True
        )
        await ended(service, job_id)


async def test_a_silent_node_is_disconnected_at_its_deadline_and_its_work_goes_elsewhere() -> None:
    clock = ManualClock()
    async with orchestrator(clock=clock) as (service, transport):
        silent, other = Peer(transport, "n-silent", hold=True), Peer(transport, "n-other", hold=True)
        await silent.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await silent.until(lambda: bool(silent.running))
        await other.join()
        clock.advance(59)
        await other.heartbeat()
        service.wake()
        assert (await service.node("n-silent")).connection is NodeConnection.CONNECTED
        clock.advance(1)
        service.wake()
        await other.until(lambda: bool(other.running))
        state = await service.node("n-silent")
        assert (state.connection, state.connection_state.last_error) == (
            NodeConnection.DISCONNECTED,
            "heartbeat missed",
        )
        assert (await service.node("n-other")).connection is NodeConnection.CONNECTED
        assert "Execution stop requested because node has disappeared" in [
            message for _, _, message in await topics(service, job_id)
        ]
        # Back again, it is told to end what was given up.
        await silent.join()
        await silent.until(lambda: not silent.running)
        await other.finish(next(iter(other.running)))
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED


async def test_the_work_of_a_lost_node_goes_elsewhere_also_where_it_can_not_be_read_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, live_jobs, failed = ManualClock(), executions.live_jobs, threading.Event()

    def failing(connection: sqlite3.Connection, node_id: str) -> list[str]:
        if not failed.is_set():
            failed.set()
            raise DatabaseError("the disk did not answer")
        return live_jobs(connection, node_id)

    async with orchestrator(clock=clock) as (service, transport):
        silent, other = Peer(transport, "n-silent", hold=True), Peer(transport, "n-other", hold=True)
        await silent.join()
        await service.submit(noop_job("a"))
        await silent.until(lambda: bool(silent.running))
        monkeypatch.setattr(executions, "live_jobs", failing)
        clock.advance(60)
        service.wake()
        await until(failed.is_set)
        await other.join()
        await other.until(lambda: bool(other.running))


async def test_a_node_that_is_back_while_another_one_is_given_up_is_not_given_up_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    async with orchestrator(clock=clock) as (service, transport):
        first, second = Peer(transport, "n-1"), Peer(transport, "n-2")
        await first.join()
        await second.join()
        members = service._parts.nodes._members
        put, storing, go_on = members.put, asyncio.Event(), asyncio.Event()

        async def slow(member: Member) -> None:
            if member.state.info.node_id == "n-1":
                storing.set()
                await go_on.wait()
            await put(member)

        monkeypatch.setattr(members, "put", slow)
        clock.advance(60)
        service.wake()
        async with asyncio.timeout(60):
            await storing.wait()
        await second.join()
        go_on.set()
        await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert second.offered


@pytest.mark.parametrize(
    ("happens", "later"),
    [
        (lambda clock: clock.jump(9 * 3600), 59),
        (lambda clock: clock.jump(-9 * 3600), 59),
        (lambda clock: clock.advance(3600), 0),
    ],
    ids=["the computer slept", "the clock was set back", "this process was stopped"],
)
async def test_a_node_is_not_blamed_for_time_in_which_nobody_could_hear_it(
    happens: Callable[[ManualClock], None], later: float
) -> None:
    clock = ManualClock()
    async with orchestrator(clock=clock) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        happens(clock)
        service.wake()
        await asyncio.sleep(0)
        await peer.heartbeat()
        clock.advance(later)
        service.wake()
        await asyncio.sleep(0)
        assert (await service.node("n-1")).connection is NodeConnection.CONNECTED
        await peer.finish(next(iter(peer.running)))
        await ended(service, job_id)
        assert len(peer.offered) == 1


async def test_a_node_that_says_goodbye_keeps_its_executions_if_it_is_back_in_time() -> None:
    clock = ManualClock()
    async with orchestrator(clock=clock) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        await peer.end.request(ShutdownNoticeRequest(node_id="n-1"))
        state = await service.node("n-1")
        assert (state.connection, state.connection_state.last_error) == (
            NodeConnection.DISCONNECTED,
            "graceful shutdown",
        )
        clock.advance(30)
        service.wake()
        await peer.join()
        clock.advance(45)
        service.wake()
        await peer.finish(next(iter(peer.running)))
        await ended(service, job_id)
        assert len(peer.offered) == 1


async def test_after_a_restart_of_the_orchestrator_executions_go_on_and_waiting_jobs_wait(
    tmp_path: Path,
) -> None:
    path = tmp_path / "o.db"
    async with orchestrator(path) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        running = (await service.submit(noop_job("running"))).job_id
        await peer.until(lambda: bool(peer.running))
        version = (await service.submit(noop_job("no time-out", cpu="2", timeouts=WAIT))).job_id
        await reached(service, version, in_state(JobStateType.QUEUED))
    async with orchestrator(path) as (service, transport):
        assert (await service.node("n-1")).connection is NodeConnection.DISCONNECTED
        # Accepted before any node is back: it must wait for the node rather than fail.
        fresh = (await service.submit(noop_job("fresh"))).job_id
        await asyncio.sleep(0)
        peer.transport = transport
        assert (await peer.join()).reason == "node reconnected"
        await peer.until(lambda: len(peer.running) == 2)
        while peer.running:
            await peer.finish(next(iter(peer.running)))
        await ended(service, running)
        await ended(service, fresh)
        await peer.until(lambda: len(peer.running) == 1)
        await peer.finish(next(iter(peer.running)))
        await ended(service, version)
        assert len(peer.offered) == 3

"""Several compute nodes and one orchestrator in one process: they join, leave, are judged and do work."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.selector import parse_selector
from bacalhau_jupyter.models.jobs.spec import (
    NetworkConfig,
    NetworkType,
    Port,
    ResourcesConfig,
    SpecConfig,
    Task,
    Timeouts,
)
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.node.roles.devstack import Devstack, StackShape, running_devstack
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, NodeQuery
from tests.services.node import NO_PROCESS
from tests.services.ports import free_port
from tests.services.waiting import found, until

LIVE = 3600.0
DONE = ExecutionStateType.COMPLETED
USUAL = StackShape()


@asynccontextmanager
async def stack(
    base: Path, shape: StackShape = USUAL, keep: bool = False, **values: Any
) -> AsyncIterator[Devstack]:
    """A stack whose nodes run noop jobs only; each is told to have one core."""
    named = {key.replace("__", "."): value for key, value in values.items()}
    config = Config(
        {
            "API.Port": 0,
            "Engines.Disabled": ["docker", "process", "wasm"],
            "Compute.AllocatedCapacity.CPU": "1",
            **named,
        }
    )
    processes = ProcessTable(os.getuid(), pid=NO_PROCESS)
    async with running_devstack(config, base, shape, keep=keep, processes=processes) as running:
        yield running


def job_of(
    kind: str = "batch", sleep: float = 0.0, cpu: str = "100m", queue_s: int = 600, **members: Any
) -> Job:
    task = Task(
        name="main",
        engine=SpecConfig(type="noop", params={"Sleep": sleep} if sleep else {}),
        resources=ResourcesConfig(cpu=cpu),
        timeouts=Timeouts(queue_timeout=queue_s),
        **{name: members.pop(name) for name in ("network", "publisher", "result_paths") if name in members},
    )
    return Job(type=kind, tasks=[task], **members)


async def submit(running: Devstack, job: Job) -> str:
    return (await running.node.orchestrator.submit(job)).job_id


async def executions(running: Devstack, job_id: str) -> list[Execution]:
    return list((await running.node.orchestrator.executions(job_id, ExecutionQuery())).items or [])


async def live_on(running: Devstack, job_id: str) -> set[str]:
    return {item.node_id for item in await executions(running, job_id) if not item.is_terminal}


async def reach(running: Devstack, job_id: str, state: JobStateType) -> Job:
    async def reached() -> bool:
        return (await running.node.orchestrator.get_job(job_id)).state.state_type is state

    await until(reached)
    return await running.node.orchestrator.get_job(job_id)


async def nodes(running: Devstack) -> dict[str, NodeState]:
    return {state.info.node_id: state for state in await running.node.orchestrator.nodes(NodeQuery())}


async def explained(running: Devstack, job_id: str) -> str:
    return (await running.node.orchestrator.explain(job_id, "", lambda _: True)).summary


async def test_every_node_of_the_stack_is_listed_with_its_labels_as_by_the_official_one(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path, Labels={"zone": "eu"}) as running:
        listed = await nodes(running)
        assert list(listed) == ["node-0", "node-1", "node-2", "node-3"]
        assert [state.info.node_type.value for state in listed.values()] == ["Requester"] + ["Compute"] * 3
        labels = listed["node-2"].info.labels
        assert {"id": "node-2", "name": "node-2", "env": "devstack", "zone": "eu"}.items() <= labels.items()
        assert (await running.node.orchestrator.node("node-0")).info.node_id == "node-0"


async def test_an_ops_job_runs_once_on_each_node_and_a_batch_job_on_as_many_as_it_counts(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path) as running:
        ops = await submit(running, job_of("ops"))
        await reach(running, ops, JobStateType.COMPLETED)
        assert sorted(item.node_id for item in await executions(running, ops)) == [
            "node-1",
            "node-2",
            "node-3",
        ]
        batch = await submit(running, job_of(count=3, cpu="800m", sleep=0.2))
        await reach(running, batch, JobStateType.COMPLETED)
        ran = [item for item in await executions(running, batch) if item.compute_state.state_type is DONE]
        assert {item.node_id for item in ran} == {"node-1", "node-2", "node-3"}


async def test_constraints_choose_the_node_and_a_soft_one_only_prefers_it(tmp_path: Path) -> None:
    async with stack(tmp_path) as running:
        hard = await submit(running, job_of(constraints=parse_selector("id=node-2")))
        await reach(running, hard, JobStateType.COMPLETED)
        assert [item.node_id for item in await executions(running, hard)] == ["node-2"]
        nowhere = await submit(running, job_of(constraints=parse_selector("id=node-9")))
        failed = await reach(running, nowhere, JobStateType.FAILED)
        assert "requested: 1, available: 3, suitable: 0" in failed.state.message
        soft = await submit(running, job_of(constraints=parse_selector("favour_zone=mars")))
        await reach(running, soft, JobStateType.COMPLETED)


async def test_what_does_not_fit_on_all_nodes_together_waits_and_runs_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path) as running:
        first = await submit(running, job_of(count=3, cpu="1", sleep=LIVE))
        await until(lambda: _is_on(running, first, 3))
        more = await submit(running, job_of(cpu="500m"))
        await reach(running, more, JobStateType.QUEUED)
        assert "waiting for 0.5 CPU" in await explained(running, more)
        await running.node.orchestrator.stop(first)
        await reach(running, more, JobStateType.COMPLETED)


async def _is_on(running: Devstack, job_id: str, count: int) -> bool:
    return len(await live_on(running, job_id)) == count


async def test_a_fixed_port_that_a_job_of_another_node_holds_makes_a_job_wait(tmp_path: Path) -> None:
    port = free_port()
    network = NetworkConfig(type=NetworkType.HOST, ports=[Port(name="web", static=port)])
    async with stack(tmp_path, StackShape(computes=2)) as running:
        first = await submit(
            running, job_of(network=network, sleep=LIVE, constraints=parse_selector("id=node-1"))
        )
        await until(lambda: _is_on(running, first, 1))
        second = await submit(running, job_of(network=network, constraints=parse_selector("id=node-2")))
        await reach(running, second, JobStateType.QUEUED)
        assert f"port {port} is already in use by another job" in await explained(running, second)
        await running.node.orchestrator.stop(first)
        await reach(running, second, JobStateType.COMPLETED)


async def test_a_job_moves_to_another_node_when_its_own_leaves_for_good(tmp_path: Path) -> None:
    # Only the node that left is silent for that long.
    async with stack(
        tmp_path, Orchestrator__NodeManager__DisconnectTimeout=3.0, Compute__Heartbeat__Interval=0.2
    ) as running:
        job = await submit(running, job_of(sleep=LIVE))
        await until(lambda: _is_on(running, job, 1))
        (first,) = await live_on(running, job)
        await running.leave(first)
        await until(lambda: _is_elsewhere(running, job, first))
        states = {item.node_id: item.compute_state.state_type for item in await executions(running, job)}
        assert states[first] is ExecutionStateType.FAILED
        await until(lambda: _is_disconnected(running, first))


async def _is_disconnected(running: Devstack, node_id: str) -> bool:
    return (await nodes(running))[node_id].connection.value == "DISCONNECTED"


async def _is_elsewhere(running: Devstack, job_id: str, node_id: str) -> bool:
    return bool(await live_on(running, job_id) - {node_id})


async def test_a_job_whose_only_node_left_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=1)) as running:
        await running.leave("node-1")
        job = await submit(running, job_of())
        await reach(running, job, JobStateType.QUEUED)
        assert (await explained(running, job)).startswith("waiting for node-1, which is not connected")
        await running.rejoin("node-1")
        await reach(running, job, JobStateType.COMPLETED)
        with pytest.raises(NotFound):
            await running.leave("node-7")


async def test_a_daemon_job_reaches_a_node_that_joins_later(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=2)) as running:
        daemon = await submit(running, job_of("daemon", sleep=LIVE))
        await until(lambda: _is_on(running, daemon, 2))
        assert await running.join() == "node-3"
        await until(lambda: _is_on(running, daemon, 3))
        assert "node-3" in await live_on(running, daemon)


async def test_a_rejected_node_stops_what_it_runs_and_gets_nothing_until_it_is_approved(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path, StackShape(computes=2)) as running:
        daemon = await submit(running, job_of("daemon", sleep=LIVE))
        await until(lambda: _is_on(running, daemon, 2))
        await running.node.orchestrator.change_node("node-1", "reject", "too hot")
        await until(lambda: _runs_nothing(running, "node-1"))
        await until(lambda: _is_live_on(running, daemon, {"node-2"}))
        ops = await submit(running, job_of("ops"))
        await reach(running, ops, JobStateType.COMPLETED)
        assert [item.node_id for item in await executions(running, ops)] == ["node-2"]
        await running.node.orchestrator.change_node("node-1", "approve")
        await until(lambda: _is_on(running, daemon, 2))


async def _is_live_on(running: Devstack, job: str, node_ids: set[str]) -> bool:
    return await live_on(running, job) == node_ids


async def _runs_nothing(running: Devstack, node_id: str) -> bool:
    return not running.node.halves.nodes()[node_id].live()


async def test_a_deleted_node_that_still_runs_joins_again(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=1), Compute__Heartbeat__Interval=0.2) as running:
        await running.node.orchestrator.change_node("node-1", "delete")
        await until(lambda: _is_connected(running, "node-1"))
        job = await submit(running, job_of())
        await reach(running, job, JobStateType.COMPLETED)


async def _is_connected(running: Devstack, node_id: str) -> bool:
    state = (await nodes(running)).get(node_id)
    return state is not None and state.connection.value == "CONNECTED"


async def test_with_manual_approval_the_own_half_works_and_others_wait_to_be_approved(tmp_path: Path) -> None:
    shape = StackShape(orchestrators=0, hybrids=1, computes=1)
    async with stack(tmp_path, shape, Orchestrator__NodeManager__ManualApproval=True) as running:
        listed = await nodes(running)
        assert [listed[name].membership.value for name in ("node-0", "node-1")] == ["APPROVED", "PENDING"]
        ops = await submit(running, job_of("ops"))
        await reach(running, ops, JobStateType.COMPLETED)
        assert [item.node_id for item in await executions(running, ops)] == ["node-0"]
        pinned = await submit(running, job_of(constraints=parse_selector("id=node-1")))
        waiting = await reach(running, pinned, JobStateType.QUEUED)
        assert "Node node-1: node waits to be approved" in waiting.state.message
        assert "not connected" not in waiting.state.message
        assert await explained(running, pinned) == "waiting for node-1, which waits to be approved"
        await running.node.orchestrator.change_node("node-1", "approve")
        await reach(running, pinned, JobStateType.COMPLETED)


async def test_a_bad_node_fails_in_the_official_words_and_the_job_is_retried_elsewhere(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path, StackShape(computes=2, bad=1)) as running:
        ops = await submit(running, job_of("ops"))
        await reach(running, ops, JobStateType.FAILED)
        words = {item.node_id: item.compute_state.message for item in await executions(running, ops)}
        assert words["node-2"].startswith("i am a bad node. i failed execution e-")
        batch = await submit(running, job_of())
        await reach(running, batch, JobStateType.COMPLETED)


async def test_results_of_any_node_are_read_and_removed_through_the_one_api(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=2)) as running:
        job = await submit(running, job_of("ops", publisher=SpecConfig(type="local")))
        await reach(running, job, JobStateType.COMPLETED)
        ran = await executions(running, job)
        files = running.node.result_files
        for execution in ran:
            reference = SpecConfig(type="local", params={"ExecutionID": execution.id})
            assert {file.path for file in await files.list(reference)} >= {"stdout", "exitCode"}
        gone = await running.node.halves.remove_results([execution.id for execution in ran])
        assert gone.count == 2


def test_the_last_of_the_first_nodes_are_the_bad_ones() -> None:
    shape = StackShape(orchestrators=1, computes=3, bad=2)
    assert [index for index in range(6) if shape.is_bad(index)] == [2, 3]
    assert not any(USUAL.is_bad(index) for index in range(6))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (StackShape(0, 0, 0), "you cannot create a devstack with zero nodes"),
        (StackShape(1, 2, 0, 3), "you cannot have more bad compute actors (3) than there are nodes (2)"),
        (StackShape(0, 2), "cannot add compute node: no orchestrators found in the existing devstack"),
        (StackShape(2, 2), "a devstack has one node that places jobs, not 2"),
        (StackShape(1, -1), "a devstack can't have a negative number of nodes"),
    ],
)
def test_a_stack_that_can_not_be_is_refused_in_one_sentence(shape: StackShape, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        shape.check()
    assert refused.value.message == words


async def test_at_the_end_of_a_stack_its_jobs_are_stopped(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=2)) as running:
        job = await submit(running, job_of("daemon", sleep=LIVE))
        await until(lambda: _is_on(running, job, 2))
        await running.end_jobs()
        assert not any(node.live() for node in running.node.halves.nodes().values())
    assert len(running.node.halves) == 0


async def test_what_nodes_of_one_process_can_share_is_there_once(tmp_path: Path) -> None:
    # Other tests of this process may have nodes of their own.
    before = set(threading.enumerate())
    async with stack(tmp_path, StackShape(computes=5), Node__Ephemeral=True) as running:
        await reach(running, await submit(running, job_of("ops")), JobStateType.COMPLETED)
        # The orchestrator's; what the others keep in memory needs none.
        assert sum(thread.name == "database" for thread in set(threading.enumerate()) - before) == 1
        assert len(found(tmp_path, "reserve")) == 1

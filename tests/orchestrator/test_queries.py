from __future__ import annotations

import time

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.wire.messages import RunResult
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, HistoryQuery, JobQuery, NodeQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator


async def pages(service: Orchestrator, query: JobQuery) -> list[str]:
    names: list[str] = []
    token = ""
    while True:
        page = await service.list_jobs(
            JobQuery(namespace=query.namespace, labels=query.labels, next_token=token) if token else query
        )
        assert len(page.items) <= query.limit
        names += [job.name for job in page.items]
        token = page.next_token
        if not token:
            return names


async def test_pages_of_jobs_follow_one_another_in_either_order_and_keep_filters() -> None:
    async with orchestrator() as (service, _):
        for number in range(7):
            labels = {"even": "yes"} if number % 2 == 0 else {}
            await service.submit(noop_job(f"j{number}", labels=labels, namespace=f"ns{number % 3}"))
        assert await pages(service, JobQuery(limit=3)) == [f"j{n}" for n in range(7)]
        assert await pages(service, JobQuery(limit=3, reverse=True)) == [f"j{n}" for n in range(6, -1, -1)]
        assert await pages(service, JobQuery(limit=1, labels=["even=yes"])) == ["j0", "j2", "j4", "j6"]
        assert await pages(service, JobQuery(limit=2, labels=["even!=yes", "x!=y"])) == ["j1", "j3", "j5"]
        assert await pages(service, JobQuery(limit=2, namespace="ns1")) == ["j1", "j4"]
        by_id = await pages(service, JobQuery(limit=2, order_by="id"))
        assert sorted(by_id) == [f"j{n}" for n in range(7)]
        assert await pages(service, JobQuery(limit=2, order_by="id", reverse=True)) == by_id[::-1]
        ids = [job.id for job in (await service.list_jobs(JobQuery(order_by="id"))).items]
        assert ids == sorted(ids)
        everything = await service.list_jobs(JobQuery(namespace="*", order_by="modified_at"))
        assert len(everything.items) == 7 and everything.next_token == ""


@pytest.mark.parametrize(
    "query",
    [
        JobQuery(order_by="colour"),
        JobQuery(next_token="???"),
        JobQuery(next_token="eyJ9"),
        JobQuery(labels=["a in"]),
    ],
)
async def test_a_wrong_query_is_refused(query: JobQuery) -> None:
    async with orchestrator() as (service, _):
        with pytest.raises(BadRequest):
            await service.list_jobs(query)


async def test_listing_fifty_of_ten_thousand_jobs_reads_only_these() -> None:
    from bacalhau_jupyter.orchestrator.store.jobs import insert
    from bacalhau_jupyter.orchestrator.store.transaction import Transaction
    from bacalhau_jupyter.orchestrator.submitting.submission import prepare

    async with orchestrator() as (service, _):
        prepared, _ = prepare(noop_job("x"), OrchestratorSettings(node_id="n-o"), None, lambda: "x")

        def fill(transaction: Transaction) -> None:
            from bacalhau_jupyter.models.jobs.spec import replace

            for number in range(10_000):
                job = replace(prepared, id=f"j-{number}", name=f"n{number}", create_time=number)
                insert(transaction.connection, job, 0)

        await service._store.transact(fill)
        times = []
        for _ in range(15):
            start = time.process_time()
            page = await service.list_jobs(JobQuery(limit=50, reverse=True, labels=["bacalhau_canary!=true"]))
            times.append(time.process_time() - start)
        assert [job.name for job in page.items[:2]] == ["n9999", "n9998"]
        # To decode all of them takes half a second of CPU.
        assert sorted(times)[3] < 0.1


async def test_a_job_is_found_by_name_by_id_and_by_unique_prefix_in_any_namespace() -> None:
    async with orchestrator() as (service, _):
        here = (await service.submit(noop_job("same"))).job_id
        there = (await service.submit(noop_job("same", namespace="there"))).job_id
        assert (await service.get_job("same")).id == here
        assert (await service.get_job("same", "there")).id == there
        assert (await service.get_job(there)).id == there
        assert (await service.get_job(there[:12])).id == there
        for missing in ("", "j-zzz", "sam", "%"):
            with pytest.raises(NotFound, match="job not found"):
                await service.get_job(missing)
        with pytest.raises(BacalhauError, match="multiple jobs found for id j-") as caught:
            await service.get_job("j-")
        assert (caught.value.code, caught.value.status) == ("MultipleJobsFound", 409)


async def test_history_keeps_its_token_until_the_job_is_over_and_all_is_read() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        first = await service.history(job_id, HistoryQuery(limit=3))
        second = await service.history(job_id, HistoryQuery(next_token=first.next_token))
        idle = await service.history(job_id, HistoryQuery(next_token=second.next_token))
        assert [row.seq_num for row in first.items + second.items] == [1, 2, 3, 4]
        assert idle.items == [] and idle.next_token == second.next_token != ""
        await peer.finish(next(iter(peer.running)))
        await ended(service, job_id)
        last = await service.history(job_id, HistoryQuery(next_token=idle.next_token))
        assert [row.seq_num for row in last.items] == [5, 6] and last.next_token == ""


async def test_history_filters() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await ended(service, job_id)
        execution = (await service.executions(job_id, ExecutionQuery())).items[0]

        async def rows(**query: object) -> int:
            return len((await service.history(job_id, HistoryQuery(**query))).items)  # type: ignore[arg-type]

        assert await rows() == 6
        assert await rows(event_type="job") == 3
        assert await rows(event_type="execution") == 3
        assert await rows(event_type="all", execution_id=execution.id[:14]) == 3
        assert await rows(since=int(time.time()) + 10) == 0
        with pytest.raises(BadRequest, match="event_type"):
            await rows(event_type="sometimes")
        with pytest.raises(NotFound, match="execution not found: e-nope"):
            await rows(execution_id="e-nope")


async def test_executions_carry_their_job_as_it_was_submitted() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        job_id = (await service.submit(noop_job("a", count=2))).job_id
        await ended(service, job_id)
        executions = (
            await service.executions("a", ExecutionQuery(order_by="created_at", reverse=True, limit=1))
        ).items
        assert [e.partition_index for e in executions] in ([0], [1])
        execution = executions[0]
        assert execution.job is not None
        assert (execution.job.id, execution.job.state.state_type.value, execution.job.revision) == (
            job_id,
            "Pending",
            1,
        )
        assert execution.compute_state.state_type == 9
        assert execution.desired_state.message == "execution completed"
        assert execution.run_output is not None and execution.run_output.stdout == "hi\n"


async def test_results_are_signed_when_they_are_read() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        execution = next(iter(peer.running.values()))
        stored = SpecConfig(type="local", params={"ExecutionID": execution.id})
        await peer.report(RunResult(execution_id=execution.id, job_id=job_id, publish_result=stored))
        await ended(service, job_id)
        results = await service.results(
            "a", "", lambda spec: SpecConfig(type="urlDownload", params=spec.params)
        )
        assert results.items == [SpecConfig(type="urlDownload", params={"ExecutionID": execution.id})]


async def test_a_docker_host_is_found_by_its_name_and_leaves_its_node_the_short_form() -> None:
    own = "n-761f5690-d9cb-416a-be49-a0a336e0a202"
    async with orchestrator() as (service, transport):
        for node_id in (own, f"{own}-gpu1", f"{own}-gpu2"):
            await Peer(transport, node_id=node_id).join()
        for reference, node_id in (("gpu1", f"{own}-gpu1"), ("n-761f5690", own), (own, own)):
            assert (await service.node(reference)).info.node_id == node_id
        with pytest.raises(BacalhauError, match="multiple nodes found for prefix: n-761f"):
            await service.node("n-761f")


async def test_nodes_are_filtered_ordered_and_found_by_prefix() -> None:
    async with orchestrator() as (service, transport):
        for name in ("n-b", "n-a", "x-c"):
            await Peer(transport, node_id=name).join()

        async def names(**query: object) -> list[str]:
            return [n.info.node_id for n in await service.nodes(NodeQuery(**query))]  # type: ignore[arg-type]

        assert await names() == ["n-a", "n-b", "x-c"]
        assert await names(reverse=True, limit=1) == ["x-c"]
        assert await names(labels=["name in (n-a,x-c)"], order_by="available_cpu") == ["n-a", "x-c"]
        assert await names(status="Disconnected") == []
        assert (await service.node("x")).info.node_id == "x-c"
        with pytest.raises(
            BacalhauError, match=r"multiple nodes found for prefix: n, matching IDs: \[n-a n-b\]"
        ):
            await service.node("n")
        with pytest.raises(BadRequest, match="order_by"):
            await names(order_by="shoe size")
        with pytest.raises(BadRequest, match="filter-approval"):
            await names(approval="maybe")

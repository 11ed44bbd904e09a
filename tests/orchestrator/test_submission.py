from __future__ import annotations

from contextlib import nullcontext

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound, ValidationError
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.orchestrator.base import HistoryQuery
from tests.orchestrator.support import Peer, ended, in_state, noop_job, orchestrator, reached, topics

DEFAULTS = {
    "Batch": {
        "Priority": 3,
        "Task": {
            "Resources": {"CPU": "250m", "Memory": "64Mb"},
            "Publisher": {"Type": "local"},
            "Timeouts": {"QueueTimeout": 60, "TotalTimeout": 3600},
        },
    }
}


async def test_a_submission_gets_ids_meta_and_the_configured_defaults() -> None:
    async with orchestrator(job_defaults=DEFAULTS, instance_id="i", installation_id="x") as (service, _):
        job = noop_job("", meta={"mine": "1", "bacalhau.org/orchestrator.id": "forged"})
        job = replace(
            job, id="given", tasks=[replace(job.task, resources=replace(job.task.resources, cpu=""))]
        )
        put = await service.submit(job, client={"bacalhau.org/client.instance.id": "c"})
        stored = await service.get_job(put.job_id)
    assert put.warnings == [
        "job ID is ignored when submitting a batch job",
        'job meta key "bacalhau.org/orchestrator.id" is reserved and will be ignored',
    ]
    assert put.job_id.startswith("j-") and len(put.evaluation_id) == 36
    assert stored.name == "given"
    assert stored.meta == {
        "mine": "1",
        "bacalhau.org/orchestrator.id": "n-o",
        "bacalhau.org/requester.id": "n-o",
        "bacalhau.org/client.instance.id": "c",
        "bacalhau.org/server.instance.id": "i",
        "bacalhau.org/server.installation.id": "x",
    }
    task = stored.task
    assert (stored.priority, task.resources.cpu, task.resources.memory) == (3, "250m", "100mb")
    assert (task.publisher, task.timeouts.queue_timeout, task.timeouts.total_timeout) == (
        SpecConfig(type="local"),
        60,
        3600,
    )
    assert (stored.version, stored.namespace) == (1, "default")
    assert stored.create_time > 10**18


async def test_nothing_is_stored_of_a_job_that_breaks_a_rule() -> None:
    from bacalhau_jupyter.orchestrator.base import JobQuery

    async with orchestrator() as (service, _):
        with pytest.raises(ValidationError, match="empty/nil job"):
            await service.submit(None)
        with pytest.raises(ValidationError, match="job count must be >= 0\nmissing job tasks"):
            await service.submit(Job(type="batch", count=-1))
        bad = noop_job("a")
        from bacalhau_jupyter.models.jobs.spec import ResultPath

        with pytest.raises(BadRequest, match="publisher must be set if result paths are set") as caught:
            task = replace(bad.task, result_paths=[ResultPath(name="o", path="/o")])
            await service.submit(replace(bad, tasks=[task]))
        assert caught.value.component == "JobStore"
        assert (await service.list_jobs(JobQuery())).items == []


async def test_the_same_name_is_an_update_and_nothing_changed_is_refused_unless_forced() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        first = await service.submit(noop_job("a"))
        before = await ended(service, first.job_id)
        with pytest.raises(
            BacalhauError, match=r"no changes detected for new job spec\. Job Name: 'a'"
        ) as caught:
            await service.submit(noop_job("a", cpu="500M"))
        assert (caught.value.code, caught.value.status) == ("", 409)
        forced = await service.submit(noop_job("a"), force=True)
        assert forced.job_id == first.job_id
        await reached(service, first.job_id, lambda job: job.version == 2 and job.is_terminal)
        changed = await service.submit(noop_job("a", labels={"new": "label"}))
        after = await reached(service, changed.job_id, lambda job: job.version == 3 and job.is_terminal)
        assert after.create_time == before.create_time
        assert (await service.get_job("a", version=1)).state == before.state
        versions = (await service.versions("a")).items
        assert [(job.version, job.labels) for job in versions] == [(1, {}), (2, {}), (3, {"new": "label"})]
        with pytest.raises(NotFound, match="job version 7 not found for job j-"):
            await service.get_job("a", version=7)
        other = await service.submit(noop_job("a", namespace="elsewhere"))
        assert other.job_id != first.job_id


SHA = "a" * 64
LINK = f"https://one.example/api/v1/orchestrator/uploads/content/{SHA}/x"


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        (f"{LINK}?expires=2&signature=c", True),
        (f"{LINK.replace('one', 'other')}?expires=1&signature=b", False),
        (f"{LINK}?day=monday&expires=1&signature=b", False),
    ],
)
async def test_another_server_is_a_change_of_an_input_and_another_signature_is_none(
    url: str, is_same: bool
) -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        await service.submit(linked_job(f"{LINK}?expires=1&signature=b"))
        with pytest.raises(BacalhauError, match="no changes") if is_same else nullcontext():
            await service.submit(linked_job(url))


def linked_job(url: str) -> Job:
    job = noop_job("a")
    source = InputSource(source=SpecConfig(type="urlDownload", params={"URL": url}), target="/inputs/x")
    return replace(job, tasks=[replace(job.task, input_sources=[source])])


async def test_the_stop_table() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        done = (await service.submit(noop_job("done"))).job_id
        await ended(service, done)
        with pytest.raises(BacalhauError, match="cannot stop job in state Completed") as caught:
            await service.stop(done)
        assert (caught.value.code, caught.value.component) == ("", "Bacalhau")
        failed = (await service.submit(noop_job("failed", cpu="64"))).job_id
        await ended(service, failed)
        with pytest.raises(
            BacalhauError, match="terminal state Failed and cannot transition to Stopped"
        ) as caught:
            await service.stop(failed)
        assert caught.value.code == "ConflictJobState"
        with pytest.raises(NotFound, match="job not found: nope"):
            await service.stop("nope")


async def test_stopping_a_running_job_cancels_it_on_the_node_and_stopping_again_does_nothing() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        assert (await service.stop("a", reason="enough")).evaluation_id
        await peer.until(lambda: not peer.running)
        job = await service.get_job(job_id)
        assert (job.state.state_type, job.state.message) == (JobStateType.STOPPED, "enough")
        assert (await service.stop("a")).evaluation_id == ""
        assert (await topics(service, job_id))[-2:] == [
            ("J", "Scheduling", "Job requested to stop before completion"),
            ("E", "Scheduling", "Execution stop requested because job has been stopped"),
        ]


async def test_a_rerun_is_a_new_version_of_a_job_that_has_run() -> None:
    async with orchestrator() as (service, transport):
        pending = (await service.submit(noop_job("p"))).job_id
        await ended(service, pending)  # no node: failed at once
        await Peer(transport).join()
        again = await service.rerun(pending, version=1)
        assert (again.job_id, again.job_version) == (pending, 2)
        job = await reached(service, pending, in_state(JobStateType.COMPLETED))
        assert job.version == 2
        history = await service.history(pending, HistoryQuery())
        assert history.items[0].event.message == "Job rerun requested"
        assert history.items[0].event.details == {"Reason": "job rerun"}
        with pytest.raises(NotFound, match="job version 9"):
            await service.rerun(pending, version=9)
        with pytest.raises(NotFound, match="job not found: nope"):
            await service.rerun("nope")


async def test_a_diff_reads_like_one_and_is_empty_for_the_same_spec() -> None:
    async with orchestrator() as (service, _):
        await service.submit(noop_job("a"))
        assert await service.diff(noop_job("a")) == ("", [])
        text, _ = await service.diff(noop_job("a", count=2))
        assert "-Count: 1\n+Count: 2\n" in text
        with pytest.raises(BadRequest, match="name is missing"):
            await service.diff(noop_job(""))
        with pytest.raises(NotFound, match="job name index not found: b:default"):
            await service.diff(noop_job("b"))

"""Jobs that ask for odd things on a small stack: none is stuck without a reason, and none costs more than its size."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.selector import parse_selector
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.node.roles.devstack import StackShape
from bacalhau_jupyter.orchestrator.planner import LARGE, Planner
from tests.node.test_devstack import LIVE, executions, explained, job_of, reach, stack, submit
from tests.services.waiting import until

ONE = StackShape(computes=1)
MANY = 2000


async def test_a_count_above_the_nodes_runs_in_turns(tmp_path: Path) -> None:
    async with stack(tmp_path, StackShape(computes=2)) as running:
        job = await submit(running, job_of(count=7, cpu="1"))
        await reach(running, job, JobStateType.COMPLETED)
        ran = await executions(running, job)
        assert {item.partition_index for item in ran} == set(range(7))
        assert {item.node_id for item in ran} == {"node-1", "node-2"}


async def test_a_large_job_is_not_looked_at_once_for_each_report_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    evaluate = Planner.evaluate

    def counted(*arguments: object) -> object:
        nonlocal looks
        looks += 1
        return evaluate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Planner, "evaluate", counted)
    count = 4 * LARGE
    async with stack(tmp_path, ONE) as running:
        job = await submit(running, job_of(count=count, cpu="10m"))

        async def completed() -> bool:
            state = (await running.node.orchestrator.get_job(job)).state.state_type
            return state is JobStateType.COMPLETED

        await until(completed, timeout_s=120)
    # A bid and a result of each part would be two looks.
    assert looks < count


async def test_an_update_may_not_turn_a_job_into_another_type(tmp_path: Path) -> None:
    async with stack(tmp_path, ONE) as running:
        job = await submit(running, job_of("daemon", name="odd", sleep=LIVE))
        await reach(running, job, JobStateType.RUNNING)
        with pytest.raises(BadRequest) as refused:
            await submit(running, job_of("batch", name="odd"))
        assert refused.value.message == "job 'odd' is a daemon job and can't become a batch job"
        assert (await running.node.orchestrator.get_job(job)).version == 1


async def test_of_thousands_of_jobs_of_one_name_the_last_one_counts(tmp_path: Path) -> None:
    async with stack(tmp_path, ONE, Node__Ephemeral=True) as running:
        orchestrator = running.node.orchestrator
        # Constraints that nobody meets: nothing of them runs, all of them are versions of one job.
        waiting = job_of(name="same", constraints=parse_selector("id=node-9"))
        for number in range(MANY):
            job = await submit(running, replace(waiting, meta={"number": str(number)}))
        stored = await reach(running, job, JobStateType.FAILED)
        assert stored.version == MANY
        assert stored.meta["number"] == str(MANY - 1)
        assert len((await orchestrator.versions("same")).items or []) == MANY
        assert "no node is called node-9" in await explained(running, job)


@pytest.mark.parametrize("text", ["zone=eu=us", "=eu", "in (a)", "zone in a,b", "!", "a b c"])
def test_a_selector_that_can_not_be_read_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_selector(text)
    assert text.strip()[:6] in refused.value.message

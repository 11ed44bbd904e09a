"""SIGKILL at any instant: what was promised is there, whole; what was not is there whole or not at all."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.orchestrator.base import JobQuery, NodeQuery
from tests.orchestrator.support import Peer, ended, integrity, orchestrator, topics

KILLS = 12


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_promised_job_is_lost_whenever_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "orchestrator.db"
    promised: dict[str, str] = {}
    for number in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.orchestrator.store.crash",
            str(path),
            str(number),
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert process.stdout is not None
        first = await asyncio.wait_for(process.stdout.readline(), 60)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), chance.uniform(0, 0.3))
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
        # A line without its end was torn by the kill; its job may be there or not.
        for line in (first + rest).decode().splitlines(keepends=True):
            if line.endswith("\n"):
                job_id, name = line.split()
                promised[job_id] = name
    assert len(promised) >= KILLS

    async with orchestrator(path) as (service, transport):
        stored = (await service.list_jobs(JobQuery())).items
        jobs = {job.id: job for job in stored}
        assert jobs.keys() >= promised.keys()
        for job_id, name in promised.items():
            assert jobs[job_id].name == name
            assert jobs[job_id].task.engine.type == "noop"
        for job in stored:
            # Half a submission would be a job without its history or spec.
            history = await topics(service, job.id)
            assert history[0] == ("J", "Submission", "Job submitted")
            assert job.meta["name"] == job.name
        assert await service._store.read(integrity) == "ok"

        for node in await service.nodes(NodeQuery()):
            await service.change_node(node.info.node_id, "delete")
        await Peer(transport, node_id="n-after").join()
        some = [job.id for job in stored if not job.is_terminal][:30]
        for job in await asyncio.gather(*(ended(service, job_id, 120) for job_id in some)):
            assert job.state.state_type is JobStateType.COMPLETED

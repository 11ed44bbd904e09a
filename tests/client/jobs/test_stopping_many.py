"""Stopping many jobs while the cluster has not answered all submissions yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bacalhau_jupyter.client.jobs import many as module
from bacalhau_jupyter.client.jobs.many import Many, Member, Submits
from bacalhau_jupyter.models.jobs.job import Job


class Cluster:
    """Answers a submission when it may; notes which jobs are stopped."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.stopped: list[tuple[str, str]] = []

    async def asubmit(self, model: Job, *, force: bool = False) -> Any:
        self.asked.set()
        await self.may_answer.wait()
        return SimpleNamespace(job_id="j-late")

    async def acall(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await work(self)

    async def stop(self, job_id: str, *, reason: str) -> None:
        self.stopped.append((job_id, reason))


async def test_a_job_that_a_busy_cluster_takes_after_all_were_stopped_is_stopped_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LATE_S", 0.0)
    cluster, member = Cluster(), Member("a", Job())
    many = Many(cast(Submits, cluster), [member])
    submission = asyncio.create_task(many._submitted(member, asyncio.Semaphore(1)))
    await asyncio.wait_for(cluster.asked.wait(), 60)
    await many._stop("interrupted")
    assert cluster.stopped == []
    cluster.may_answer.set()
    job = await asyncio.wait_for(submission, 60)
    assert job is not None
    assert cluster.stopped == [("j-late", "interrupted")]

"""Removing a host whose jobs are not known yet, and one whose removal fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.errors import Conflict, IOFailure
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.host_orders import AddHost, RemoveHost
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.node.hosts import service
from bacalhau_jupyter.node.hosts.written.file import HostsFile
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.node.roles.halves import Halves
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.hostile import HostileEngine, hostile_engine
from tests.node.hosts.test_hosts import ended, job_state, submit
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import until


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[HostileEngine]:
    async with hostile_engine(tmp_path) as it:
        yield it


async def test_a_host_whose_jobs_are_not_known_yet_is_removed_when_they_are(
    far_host: FarHost, node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        await api.hosts.add(order(far_host))
        job = await submit(api, far_host, "sleep 600")

        async def is_running() -> bool:
            return await job_state(api, job) is JobStateType.RUNNING

        await until(is_running, timeout_s=90)
    monkeypatch.setattr(service, "COUNTED_S", 0.1)
    may_start, start = asyncio.Event(), Halves.start

    async def late(halves: Halves, places: object) -> None:
        if len(halves):
            await may_start.wait()
        await start(halves, places)  # type: ignore[arg-type]

    monkeypatch.setattr(Halves, "start", late)
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        for jobs in ("", "cancel"):
            with pytest.raises(Conflict, match="which jobs are on host gpu1 is not known yet"):
                await api.hosts.remove("gpu1", RemoveHost(jobs=jobs))
        await api.hosts.remove("gpu1", RemoveHost(jobs="wait"))
        may_start.set()

        async def has_its_job() -> bool:
            return (await api.hosts.show("gpu1")).executions == 1

        await until(has_its_job, timeout_s=90)
        assert (await api.hosts.show("gpu1")).state is HostState.REMOVING
        await api.stop(job)

        async def is_gone() -> bool:
            return not (await api.hosts.list()).items

        await until(is_gone, timeout_s=90)
        assert await ended(api, job) is JobStateType.STOPPED


async def test_a_removal_that_fails_is_told_and_tried_again(
    engine: HostileEngine, node: Node, api: AsyncAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.hosts.add(AddHost(name="gpu1", url=engine.url))
    take_out = HostsFile.remove

    def full(file: HostsFile, name: str) -> None:
        raise IOFailure("the disk is full")

    monkeypatch.setattr(HostsFile, "remove", full)
    text = (node.repo.path / "hosts.yaml").read_text()
    (node.repo.path / "hosts.yaml").write_text(f"{text.rstrip()}\n    removing: true\n    paused: true\n")

    async def is_told() -> bool:
        host = await api.hosts.show("gpu1")
        return host.problem == "it can't be removed: the disk is full"

    await until(is_told, timeout_s=60)
    assert (await api.hosts.show("gpu1")).state is HostState.REMOVING
    problems = [problem for problem in node.problems.every() if problem.task == "removing host gpu1"]
    assert [problem.message for problem in problems] == ["the disk is full"]
    monkeypatch.setattr(HostsFile, "remove", take_out)

    async def is_gone() -> bool:
        return not (await api.hosts.list()).items

    await until(is_gone, timeout_s=60)
    # It is not listed any more a moment before its removal is over.
    await until(lambda: not any(each.task == "removing host gpu1" for each in node.problems.every()))

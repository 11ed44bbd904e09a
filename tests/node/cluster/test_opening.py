"""How a link is told of while it is being opened: the opener is held, for a real one takes half a second."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.cluster import CLOSED, OPENING, ClusterState, OpenCluster
from bacalhau_jupyter.node.cluster.link import ORDER_FILE, Link
from bacalhau_jupyter.node.cluster.opened import OpenedLink
from bacalhau_jupyter.node.cluster.plan import LinkPlan
from bacalhau_jupyter.node.cluster.service import Clustering
from bacalhau_jupyter.transport.base import LinkState, OrchestratorTransport
from tests.node.test_node import MakeConfig
from tests.services.waiting import until


class Opened:
    """A link that is open as soon as its opener returns it."""

    end = cast(OrchestratorTransport, None)
    port = 4222
    state = LinkState(is_up=True)
    ca_file = None

    async def close(self) -> None:
        pass


class Joint:
    """The place where near and far nodes meet, without nodes."""

    async def open(self, far: OrchestratorTransport) -> None:
        pass

    async def shut(self) -> None:
        pass


class Held:
    """Opens a link when it is told to, or fails."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.failure: IOFailure | None = None

    async def __call__(self, plan: LinkPlan) -> OpenedLink:
        self.has_begun.set()
        await self.may_go_on.wait()
        if self.failure is not None:
            raise self.failure
        return Opened()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def link(node_config: MakeConfig, held: Held) -> Link:
    config = node_config()
    repo = Repo.open(Path(config["DataDir"]))
    clock = SystemClock()
    return Link(config, repo, Joint(), held, embedded=True, clock=clock, problems=Problems(clock))


async def shown(link: Link) -> ClusterState:
    async def nothing() -> list[object]:
        return []

    service = Clustering(link, nothing, lambda _: True, lambda: "", lambda _: asyncio.sleep(0))  # type: ignore[arg-type]
    return await service.state()


async def test_a_cluster_that_is_opened_is_neither_open_nor_closed_meanwhile(link: Link, held: Held) -> None:
    assert (await shown(link)).link.reason == CLOSED
    opening = asyncio.create_task(link.open(OpenCluster()))
    await asyncio.wait_for(held.has_begun.wait(), 30)
    state = await shown(link)
    assert (state.is_open, state.link.reason) == (False, OPENING)
    held.may_go_on.set()
    await opening
    assert (await shown(link)).link.is_up
    await link.close()
    assert (await shown(link)).link.reason == CLOSED


async def test_a_cluster_that_could_not_be_opened_is_closed_again(link: Link, held: Held) -> None:
    held.failure = IOFailure("the disk is full")
    held.may_go_on.set()
    with pytest.raises(IOFailure):
        await link.open(OpenCluster())
    assert (await shown(link)).link.reason == CLOSED


async def test_a_node_that_starts_again_opens_its_cluster_and_says_so(link: Link, held: Held) -> None:
    link._repo.orchestrator_dir.mkdir(parents=True, exist_ok=True)
    (link._repo.orchestrator_dir / ORDER_FILE).write_text("{}")
    held.failure = IOFailure("the disk is full")
    await link.start()
    try:
        assert (await shown(link)).link.reason == OPENING
        await asyncio.wait_for(held.has_begun.wait(), 30)
        state = await shown(link)
        assert (state.is_open, state.link.reason) == (True, OPENING)
        # Why it did not work is worth more than that it is tried again.
        held.may_go_on.set()
        await until(lambda: link.state.reason.startswith("the disk is full"), 30)
    finally:
        await link.stop()

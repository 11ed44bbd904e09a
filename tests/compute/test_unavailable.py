"""A node whose machine is away, or paused, takes nothing new; and what its machine has may change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from bacalhau_jupyter.compute.host.machine import MachineFacts
from bacalhau_jupyter.models.errors import CAPACITY, EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.wire.messages import ComputeError, UpdateNodeInfoRequest
from bacalhau_jupyter.plugins.contract import Availability
from tests.compute.makers import STUB, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, World, WorldEngine, bench


class GrowingMachine:
    """First nothing is known of it, then it has so much."""

    def __init__(self) -> None:
        self.facts: asyncio.Queue[MachineFacts] = asyncio.Queue()
        self.asked_again = 0

    async def look(self) -> MachineFacts:
        return MachineFacts()

    async def watch(self, changed: Callable[[MachineFacts], None]) -> None:
        while True:
            changed(await self.facts.get())

    def again(self) -> None:
        self.asked_again += 1


async def told(node: Bench, cpu: float) -> None:
    """Wait until the orchestrator heard of so much capacity."""
    async with asyncio.timeout(WAIT_S), node.peer.heard:
        await node.peer.heard.wait_for(
            lambda: any(
                isinstance(it, UpdateNodeInfoRequest)
                and it.node_info.compute_node_info.max_capacity.cpu == cpu
                for it in node.peer.control
            )
        )


async def test_an_unavailable_node_refuses_as_busy_and_says_why(node: Bench) -> None:
    node.node.set_unavailable("host gpu1 does not answer since 14:03")
    info = node.node.info().compute_node_info
    assert info.unavailable == "host gpu1 does not answer since 14:03"
    assert info.available_capacity.is_zero
    assert not info.max_capacity.is_zero
    answer = await node.peer.bid(make_execution(make_task(publisher=STUB)))
    assert not answer.accepted
    assert "host gpu1 does not answer since 14:03" in str(answer.events)
    assert not info.away
    node.node.set_unavailable("host gpu1 is paused", is_away=True)
    assert node.node.info().compute_node_info.away
    node.node.set_unavailable("")
    assert not node.node.info().compute_node_info.away
    assert not node.node.info().compute_node_info.available_capacity.is_zero
    assert (await node.peer.bid(make_execution(make_task(publisher=STUB)))).accepted


async def test_a_machine_that_comes_later_brings_capacity_labels_and_what_others_hold(tmp_path: Path) -> None:
    machine = GrowingMachine()
    async with bench(tmp_path, machine=machine, allocated=ResourcesConfig(cpu="50%")) as node:
        before = node.node.info().compute_node_info
        assert before.max_capacity.is_zero
        assert before.unavailable == "its machine has not been asked yet"
        facts = MachineFacts(
            Resources(cpu=16, memory=1 << 30, disk=1 << 30),
            {"os_type": "linux", "os_arch": "arm64"},
            {"nvidia-smi": "it hangs"},
            Resources(cpu=3),
        )
        machine.facts.put_nowait(facts)
        await told(node, 8.0)
        info = node.node.info()
        assert not info.compute_node_info.unavailable
        assert info.compute_node_info.available_capacity.cpu == 5.0
        assert info.labels["os_arch"] == "arm64"
        assert info.compute_node_info.gpu_problems == {"nvidia-smi": "it hangs"}
        machine.facts.put_nowait(MachineFacts(Resources(cpu=4, memory=1 << 30, disk=1 << 30)))
        await told(node, 2.0)
        info = node.node.info()
        assert info.compute_node_info.available_capacity.cpu == 2.0
        assert info.compute_node_info.gpu_problems == {}


class LateEngine(WorldEngine):
    """Works as soon as it may."""

    type = "late"

    def __init__(self) -> None:
        super().__init__(World())
        self.may = asyncio.Event()

    async def probe(self) -> Availability:
        await self.may.wait()
        return Availability(True, runtime="late")


async def test_a_machine_that_is_back_lacks_no_engine_until_that_is_asked(tmp_path: Path) -> None:
    machine = GrowingMachine()
    late = LateEngine()
    it = Bench(tmp_path, probe_timeout_s=60.0)
    it.machine, it.engines = machine, {"late": late}
    await it.peer.serve()
    await it.start()
    try:
        machine.facts.put_nowait(MachineFacts(Resources(cpu=4, memory=1 << 30, disk=1 << 30)))
        await told(it, 3.2)
        info = it.node.info().compute_node_info
        assert info.execution_engines == []
        assert info.unavailable == "it has not answered yet"
        answer = await it.peer.bid(make_execution(make_task("late", publisher=STUB)))
        assert not answer.accepted
        # A rejection for want of the engine would bar the node for this job.
        assert "does not support" not in str(answer.events)
        late.may.set()
        async with asyncio.timeout(WAIT_S), it.peer.heard:
            await it.peer.heard.wait_for(
                lambda: any(
                    isinstance(each, UpdateNodeInfoRequest)
                    and each.node_info.compute_node_info.execution_engines == ["late"]
                    and not each.node_info.compute_node_info.unavailable
                    for each in it.peer.control
                )
            )
    finally:
        late.may.set()
        await it.stop()


async def test_a_machine_of_which_others_took_something_is_asked_again_at_once(tmp_path: Path) -> None:
    machine = GrowingMachine()
    async with bench(tmp_path, machine=machine, allocated=ResourcesConfig(cpu="50%")) as node:
        machine.facts.put_nowait(MachineFacts(Resources(cpu=4, memory=1 << 30, disk=1 << 30)))
        await told(node, 2.0)
        node.world.start_error = EngineError("no such image", fails_execution=True)
        assert isinstance(
            await node.peer.run(make_execution(make_task("world", publisher=STUB))), ComputeError
        )
        assert machine.asked_again == 0
        node.world.start_error = EngineError("this GPU was given to a job", details={CAPACITY: "true"})
        report = await node.peer.run(make_execution(make_task("world", publisher=STUB)))
        assert isinstance(report, ComputeError)
        assert (report.events or [])[0].details[CAPACITY] == "true"
        assert machine.asked_again == 1


async def test_news_that_the_orchestrator_did_not_take_is_told_again_with_the_next_heartbeat(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, heartbeat_interval_s=0.1, info_interval_s=3600.0) as node:
        node.peer.refuse_info = 1
        node.node.set_unavailable("host gpu1 is paused")
        requests = await node.peer.hears(UpdateNodeInfoRequest, 2)
        infos = [it.node_info for it in requests if isinstance(it, UpdateNodeInfoRequest)]
        assert [it.compute_node_info.unavailable for it in infos] == ["host gpu1 is paused"] * 2

"""Which execution gets which GPU: never two the same, also after a restart of the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.plugins import first_reasons
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import BidResult, UpdateNodeInfoRequest
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import STUB, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, World, WorldEngine
from tests.services import gpu_tools


class PickyEngine(WorldEngine):
    """Can hand over the GPUs of one vendor only."""

    type = "picky"
    vendors: tuple[str, ...] = ("AMD/ATI",)

    async def gpu_problem(self, gpu: GPU) -> str:
        return "" if gpu.vendor in self.vendors else f"no runtime for {gpu.vendor}"


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A node with five GPUs of three vendors."""
    tools = tmp_path / "tools"
    tools.mkdir()
    gpu_tools.install(tools)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    bench = Bench(
        tmp_path, probe_gpus=True, gpus_asked_s=0.05, allocated=ResourcesConfig(cpu="8", memory="8Gi")
    )
    bench.extra_engines["picky"] = PickyEngine(World())
    await bench.peer.serve()
    await bench.start()
    yield bench
    await bench.stop()


def asking(count: int, engine: str = "world") -> Execution:
    resources = ResourcesConfig(gpu=str(count), cpu="0.1", memory="1mb")
    return make_execution(make_task(engine, publisher=STUB, resources=resources))


async def running(node: Bench, count: int) -> Execution:
    execution = asking(count)
    answer = await node.peer.bid(execution)
    assert answer.accepted, answer.events
    await node.peer.accept(execution)
    async with asyncio.timeout(WAIT_S):
        while execution.id not in node.world.requests:
            node.world.running.clear()
            await node.world.running.wait()
    return execution


def granted(node: Bench, execution: Execution) -> list[tuple[str, int]]:
    return [gpu.key for gpu in node.world.requests[execution.id].resources.gpus]


def refusal(answer: BidResult) -> str:
    assert not answer.accepted
    return " ".join(event.message for event in answer.events or ())


async def test_executions_get_disjoint_gpus_and_a_restarted_node_remembers_which(node: Bench) -> None:
    first, second = await running(node, 2), await running(node, 2)
    assert granted(node, first) == [("NVIDIA", 0), ("NVIDIA", 1)]
    assert granted(node, second) == [("AMD/ATI", 0), ("AMD/ATI", 1)]
    await node.crash()
    await node.restart()
    assert [gpu.key for gpu in node.free().gpus] == [("Intel", 0)]
    assert "not enough GPU (2 > 1)" in refusal(await node.peer.bid(asking(2)))
    third = await running(node, 1)
    assert granted(node, third) == [("Intel", 0)]
    node.world.end(first, Outcome(EndReason.EXITED))
    await node.peer.next()
    fourth = await running(node, 1)
    assert granted(node, fourth) == [("NVIDIA", 0)]


async def test_a_node_tells_which_of_its_gpus_are_free(node: Bench) -> None:
    await running(node, 3)
    info = node.node.info().compute_node_info
    assert info.max_capacity.gpu == len(info.max_capacity.gpus) == 5
    assert [gpu.key for gpu in info.available_capacity.gpus] == [("AMD/ATI", 1), ("Intel", 0)]


async def test_only_gpus_that_the_engine_can_hand_over_are_given(node: Bench) -> None:
    execution = asking(2, "picky")
    answer = await node.peer.bid(execution)
    assert answer.accepted
    assert [gpu.key for gpu in node.free().gpus] == [("NVIDIA", 0), ("NVIDIA", 1), ("Intel", 0)]
    busy = refusal(await node.peer.bid(asking(1, "picky")))
    assert busy == "rejected bid: this node is busy: not enough GPUs free"


async def test_what_is_missing_to_hand_gpus_over_is_told_when_bidding_and_of_the_node(node: Bench) -> None:
    reason = refusal(await node.peer.bid(asking(3, "picky")))
    assert reason == (
        "rejected bid: this node can give picky jobs 2 of its 5 GPUs: "
        "no runtime for NVIDIA; no runtime for Intel"
    )
    info = node.node.info().compute_node_info
    assert info.gpu_problems == {"picky": "no runtime for NVIDIA; no runtime for Intel"}


def test_of_many_reasons_the_first_few_are_told() -> None:
    assert first_reasons(["a", "b", "c"]) == "a; b; c"
    assert first_reasons(list("abcdefgh")) == "a; b; c; 5 more"


async def test_a_runtime_that_is_installed_later_is_noticed(node: Bench) -> None:
    engine = node.extra_engines["picky"]
    assert isinstance(engine, PickyEngine)
    engine.vendors = ("AMD/ATI", "NVIDIA")
    async with asyncio.timeout(WAIT_S), node.peer.heard:
        await node.peer.heard.wait_for(
            lambda: any(
                isinstance(it, UpdateNodeInfoRequest)
                and it.node_info.compute_node_info.gpu_problems == {"picky": "no runtime for Intel"}
                for it in node.peer.control
            )
        )
    assert (await node.peer.bid(asking(3, "picky"))).accepted


async def test_a_limit_of_gpus_leaves_the_others_alone(
    tmp_path: Path, node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "limited", probe_gpus=True, allocated=ResourcesConfig(gpu="2"))
    await bench.peer.serve()
    await bench.start()
    limit: Resources = bench.node.capacity.limit
    assert [gpu.key for gpu in limit.gpus] == [("NVIDIA", 0), ("NVIDIA", 1)]
    assert {key for key in bench.node.info().labels if key.startswith("GPU-")} == {
        "GPU-0",
        "GPU-0-Memory",
        "GPU-1",
        "GPU-1-Memory",
    }
    await bench.stop()

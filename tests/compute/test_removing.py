"""Directories of executions that can't be removed at once are not forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.engines.noop import NoopEngine
from bacalhau_jupyter.models.wire.messages import RunResult
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.compute.makers import an_output, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, bench
from tests.services.waiting import until
from tests.transfer.helpers import small_disk


async def test_what_can_not_be_removed_is_reported_and_tried_again_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, directory_retention_s=0.0) as node:
        stuck, other = (
            make_execution(make_task("noop", {"Stdout": "x"}, result_paths=[an_output()])) for _ in range(2)
        )
        for execution in (stuck, other):
            assert isinstance(await node.peer.run(execution), RunResult)
        await node.idle()
        places = node.settings.data_dir / "executions"
        with small_disk(places / stuck.id / "mounted"):
            await node.node.tidy()
            assert list(node.node.unremovable) == [stuck.id]
            assert [path.name for path in places.iterdir()] == [stuck.id]
            await node.stop()
            await node.restart()
            await node.node.tidy()
            assert list(node.node.unremovable) == [stuck.id]
        await node.node.tidy()
        assert node.node.unremovable == {}
        assert list(places.iterdir()) == []


class SlowToClean(NoopEngine):
    """Takes its time to remove what it keeps of an execution."""

    type = "slow"

    def __init__(self, options: PluginOptions) -> None:
        super().__init__(options)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.cleaned: list[str] = []

    async def clean(self, execution_id: str) -> None:
        self.asked.set()
        await self.go_on.wait()
        self.cleaned.append(execution_id)


async def test_a_node_that_stops_removes_first_what_ended_executions_left(tmp_path: Path) -> None:
    node = Bench(tmp_path, cancel_timeout_s=WAIT_S, stop_timeout_s=WAIT_S)
    engine = SlowToClean(node.options())
    node.extra_engines["slow"] = engine
    await node.peer.serve()
    await node.start()
    execution = make_execution(make_task("slow"))
    await node.peer.run(execution)
    async with asyncio.timeout(WAIT_S):
        await engine.asked.wait()
        stopping = asyncio.create_task(node.stop())
        await until(lambda: not node.carrier.nodes)
        engine.go_on.set()
        await stopping
    assert engine.cleaned == [execution.id]

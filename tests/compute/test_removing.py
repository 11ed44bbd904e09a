"""Directories of executions that can't be removed at once are not forgotten."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.models.wire.messages import RunResult
from tests.compute.makers import an_output, make_execution, make_task
from tests.compute.peer import bench
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

"""One failed round never ends the node's work in the background, and everybody can see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.compute.peer import Bench


async def test_housekeeping_continues_after_a_round_that_failed_and_the_node_reports_it(
    tmp_path: Path, monkeypatch
) -> None:
    bench = Bench(tmp_path, housekeeping_interval_s=0.01)
    await bench.peer.serve()
    await bench.start()
    node, rounds, enough = bench.node, [], asyncio.Event()

    async def tidy() -> None:
        rounds.append(1)
        if len(rounds) >= 3:
            enough.set()
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(node._equipment.cache, "tidy", tidy)
    async with asyncio.timeout(60):
        await enough.wait()
    problems = node.info().compute_node_info.problems
    assert problems == {"cleaning up the input cache": "RecursionError: maximum recursion depth exceeded"}
    (problem,) = node.problems.every()
    assert problem.count >= 2
    monkeypatch.undo()
    async with asyncio.timeout(60):
        while node.problems.every():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert node.info().compute_node_info.problems == {}
    await bench.stop()

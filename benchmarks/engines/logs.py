"""From a line printed inside a job to the same line at a follower."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

from benchmarks.engines.whole_jobs import FREE, own_python, register_python, runtime_of
from benchmarks.harness import JOBS, Row, job, node, session

PRINTER = """
import time
for _ in range({lines}):
    time.sleep(0.02)
    print(time.time_ns(), flush=True)
"""


def measure(quick: bool) -> list[Row]:
    """Lines of a process job; the same clock on both sides, since both are on this machine."""
    lines = 50 if quick else 200
    with node() as served:
        runtime_of(served, "process")
        delays = asyncio.run(_follow(served, lines))
    ordered = sorted(delays)
    return [
        Row("line printed → at a log follower, p50", statistics.median(delays), "ms", target=10),
        Row("line printed → at a log follower, p95", ordered[int(len(ordered) * 0.95)], "ms"),
    ]


async def _follow(served, lines: int) -> list[float]:  # type: ignore[no-untyped-def]
    command = [sys.executable, "-I", "-c", PRINTER.format(lines=lines)]
    body = job("process", {"Command": command, "Python": own_python()}, Resources=FREE)
    delays: list[float] = []
    async with session(served) as opened, asyncio.timeout(60):
        await register_python(opened, body)
        job_id = await opened.submit(body)
        async with opened.http.ws_connect(f"{JOBS}/{job_id}/logs?follow=true") as stream:
            async for message in stream:
                now = time.time_ns()
                frame = json.loads(message.data)
                if frame.get("error"):
                    raise RuntimeError(frame["error"])
                delays += [(now - int(line)) / 1e6 for line in frame["value"]["Line"].split()]
    # The first lines wait for the follower itself.
    return delays[lines // 10 :]

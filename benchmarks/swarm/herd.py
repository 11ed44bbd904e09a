"""A process of many light nodes: ``python -m benchmarks.swarm.herd PLAN``, where PLAN is JSON of `Herd`.

It prints a line of JSON when all nodes have joined, and one more for each line on its standard input: what happened
since the last one. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.swarm.light_node import Counts, LightNode
from benchmarks.swarm.wire import Wire, dial

JOINING_AT_ONCE = 64


@dataclass(frozen=True)
class Herd:
    """What to do.

    Attributes
    ----------
    url, token
        The NATS server; the token may be empty.
    nodes
        How many.
    interval_s
        Seconds between the heartbeats of a node.
    per_connection
        Nodes that share a connection, for a server that does not look at names.
    """

    url: str
    nodes: int
    interval_s: float = 15.0
    per_connection: int = 1
    token: str = ""


def main() -> None:
    """Run the herd that is described on the command line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_run(Herd(**json.loads(sys.argv[1]))))


async def _run(herd: Herd) -> None:
    counts = Counts()
    wires: list[Wire] = []
    nodes: list[LightNode] = []
    started = time.perf_counter()
    for number in range(herd.nodes):
        node_id = f"n-{uuid.uuid4()}"
        if number % herd.per_connection == 0:
            wires.append(await dial(herd.url, name=node_id, token=herd.token))
        nodes.append(LightNode(wires[-1], node_id, counts))
    dialled_s = time.perf_counter() - started

    started = time.perf_counter()
    gate = asyncio.Semaphore(JOINING_AT_ONCE)

    async def join(node: LightNode) -> None:
        async with gate:
            await node.join()

    await asyncio.gather(*(join(node) for node in nodes))
    joined_s = time.perf_counter() - started
    _say(
        {
            "joined": len(counts.handshakes),
            "refused": counts.refused,
            "dialled_s": dialled_s,
            "joined_s": joined_s,
            "handshake": spread(counts.handshakes),
        }
    )
    # What lives as long as the herd needs no look of the collector.
    gc.collect()
    gc.freeze()
    beats = [
        asyncio.create_task(node.beat(herd.interval_s, herd.interval_s * number / herd.nodes))
        for number, node in enumerate(nodes)
    ]
    lines = await _input()
    while await lines.readline():
        _say(_report(counts, nodes, wires))
    for beat in beats:
        beat.cancel()
    await asyncio.gather(*beats, return_exceptions=True)
    for wire in wires:
        wire.close()
    # A turn of the loop closes the sockets.
    await asyncio.sleep(0)


def _report(counts: Counts, nodes: Sequence[LightNode], wires: Sequence[Wire]) -> dict[str, Any]:
    report = {
        "heartbeats": spread(counts.heartbeats),
        "late": counts.late,
        "asked_to_join_again": counts.lost,
        "ran": counts.ran,
        "resent": counts.resent,
        "waiting": sum(node.waiting for node in nodes),
        "cut": sum(wire.is_closed for wire in wires),
    }
    for field in dataclasses.fields(counts):
        setattr(counts, field.name, [] if field.name in ("handshakes", "heartbeats") else 0)
    return report


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return the number of values, their median, the 99th percentile and the largest, in milliseconds."""
    if not seconds:
        return {"count": 0, "p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50_ms": statistics.median(ordered) * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def _say(report: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

"""How many nodes an orchestrator carries: handshakes, heartbeats, lists, memory; ours beside the official one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.harness import Row, Unavailable
from benchmarks.swarm.herd import Herd
from benchmarks.swarm.orchestrators import Measured, herding, official, ours

INTERVAL_S = 15.0
"""Seconds between heartbeats: the official default."""
NODES = "/api/v1/orchestrator/nodes"
SETTLE_S = 5.0


@dataclass(frozen=True)
class Figures:
    """What was measured of one orchestrator with one number of nodes.

    Shares are of one core, in percent; memory is in megabytes.
    """

    handshakes_per_s: float
    handshake_p99_ms: float
    share: float
    server_share: float
    heartbeat_p50_ms: float
    heartbeat_p99_ms: float
    troubles: int
    idle_mb: float
    memory_mb: float
    server_mb: float
    list_ms: float


def measure(quick: bool) -> list[Row]:
    """1000 nodes, then 5000."""
    rows: list[Row] = []
    for count in (20, 50) if quick else (1000, 5000):
        raw: Figures | None = None
        try:
            raw = figures(official, count, quick)
        except Unavailable as error:
            print(f"swarm: without the official orchestrator: {error}", flush=True)
        rows += _rows(count, figures(ours, count, quick), raw)
    return rows


def figures(start: Callable[[], AbstractContextManager[Measured]], count: int, quick: bool) -> Figures:
    """Let nodes join an orchestrator and watch it for some rounds of heartbeats."""
    interval_s = 2.0 if quick else INTERVAL_S
    with start() as orchestrator:
        time.sleep(1 if quick else SETTLE_S)
        idle = orchestrator.memory_mb()
        with herding(Herd(orchestrator.nats, count, interval_s)) as herd:
            joined = herd.joined
            if joined["joined"] != count:
                raise RuntimeError(f"{joined['joined']} of {count} nodes joined")
            # What the handshakes caused is over after a round.
            time.sleep(interval_s)
            herd.report()
            before, started = orchestrator.cpu_s(), time.monotonic()
            time.sleep(interval_s * 4)
            after, took_s = orchestrator.cpu_s(), time.monotonic() - started
            beats = herd.report()
            memory = orchestrator.memory_mb()
            lists = []
            for _ in range(3 if quick else 11):
                began = time.perf_counter()
                orchestrator.get(NODES)
                lists.append((time.perf_counter() - began) * 1e3)
    return Figures(
        handshakes_per_s=count / joined["joined_s"],
        handshake_p99_ms=joined["handshake"]["p99_ms"],
        share=(after["orchestrator"] - before["orchestrator"]) / took_s * 100,
        server_share=(after["server"] - before["server"]) / took_s * 100,
        heartbeat_p50_ms=beats["heartbeats"]["p50_ms"],
        heartbeat_p99_ms=beats["heartbeats"]["p99_ms"],
        troubles=beats["late"] + beats["asked_to_join_again"] + beats["cut"],
        idle_mb=idle["orchestrator"],
        memory_mb=memory["orchestrator"],
        server_mb=memory["server"],
        list_ms=statistics.median(lists),
    )


def _rows(count: int, own: Figures, raw: Figures | None) -> list[Row]:
    targets = {"share": 10.0, "idle_mb": 90.0} if count == 1000 else {}
    names = {
        "handshakes_per_s": ("handshakes", "1/s", "more"),
        "handshake_p99_ms": ("handshake, 64 at once, p99", "ms", "less"),
        "share": ("heartbeats, orchestrator's share of a core", "%", "less"),
        "server_share": ("heartbeats, NATS server's share of a core", "%", "less"),
        "heartbeat_p50_ms": ("heartbeat, p50", "ms", "less"),
        "heartbeat_p99_ms": ("heartbeat, p99", "ms", "less"),
        "troubles": ("late or lost heartbeats and connections", "", "less"),
        "idle_mb": ("orchestrator without nodes, resident", "MB", "less"),
        "memory_mb": ("orchestrator, resident", "MB", "less"),
        "server_mb": ("NATS server, resident", "MB", "less"),
        "list_ms": ("list of all nodes, p50", "ms", "less"),
    }
    rows = []
    for field, (text, unit, better) in names.items():
        other = getattr(raw, field) if raw is not None else None
        rows.append(
            Row(
                f"{count} nodes: {text}",
                getattr(own, field),
                unit,
                # Inside the official one, the server has no figures of its own.
                raw=other or None,
                raw_name="official (with its NATS server)" if other else "",
                target=targets.get(field),
                better=better,
            )
        )
    return rows

"""One look of each scheduler at a large cluster and at a job of many parts: CPU time, without the database."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    DesiredState,
    DesiredStateType,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.orchestrator.scheduler import SCHEDULERS
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation
from benchmarks.harness import Row
from tests.orchestrator.support import node_info, noop_job

NODES = 1000
TARGET_MS = 100.0
SECOND_NS = 10**9
NOW_NS = 10**18


def measure(quick: bool) -> list[Row]:
    """Place jobs of each type on 1000 nodes; then look at jobs all of whose parts run."""
    rounds = 3 if quick else 10
    nodes = [NodeView(node_info(f"n-{number:05d}")) for number in range(NODES)]
    rows = [
        Row(f"look at a new {kind} job, {NODES} nodes", look_ms(kind, nodes, rounds), "ms", target=TARGET_MS)
        for kind in SCHEDULERS
    ]
    for count in (1000, 10_000):
        running = [_running(number, nodes) for number in range(count)]
        for kind in ("batch", "service"):
            took_ms = look_ms(kind, nodes, rounds, count, running)
            rows.append(Row(f"look at a {kind} job whose {count} parts run", took_ms, "ms"))
    return rows


def look_ms(
    kind: str,
    nodes: Sequence[NodeView],
    rounds: int,
    count: int = NODES,
    executions: Sequence[Execution] = (),
) -> float:
    """Return the CPU time (ms) of the quickest of some looks."""
    situation = Situation(
        job=replace(noop_job("bench", type=kind, count=count), version=1),
        executions=executions,
        nodes=nodes,
        used={},
        request=Resources(cpu=0.5, memory=10**8),
        submitted_ns=0,
        now_ns=NOW_NS,
    )
    took = []
    for _ in range(rounds):
        start = time.process_time()
        SCHEDULERS[kind](situation)
        took.append(time.process_time() - start)
    return min(took) * 1e3


def _running(number: int, nodes: Sequence[NodeView]) -> Execution:
    return Execution(
        id=f"e-{number}",
        node_id=nodes[number % len(nodes)].id,
        job_version=1,
        partition_index=number,
        compute_state=ComputeState(state_type=ExecutionStateType.BID_ACCEPTED),
        desired_state=DesiredState(state_type=DesiredStateType.RUNNING),
        modify_time=NOW_NS - SECOND_NS,
    )

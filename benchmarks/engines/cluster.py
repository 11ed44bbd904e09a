"""A devstack of many noop nodes: how long an ops job on all of them takes, in one process."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.node.roles.devstack import Devstack, StackShape, running_devstack
from bacalhau_jupyter.node.run import settle_memory
from bacalhau_jupyter.orchestrator.base import ExecutionQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from benchmarks.harness import TERMINAL, Row
from tests.orchestrator.support import noop_job

TARGET_S = 5.0


def measure(quick: bool) -> list[Row]:
    """Start the stack, then run ops jobs on all nodes; the first one pays for what is made once."""
    nodes = 50 if quick else 1000
    return asyncio.run(_measure(nodes, rounds=2 if quick else 3))


async def _measure(nodes: int, rounds: int) -> list[Row]:
    config = Config(
        {
            "API.Port": 0,
            "Engines.Disabled": ["docker", "process", "wasm"],
            "Node.Ephemeral": True,
            "Compute.InputCache.Size": 0,
            # Small jobs on a small share of the machine: a thousand nodes believe to have it all.
            "Compute.AllocatedCapacity.CPU": "1",
        }
    )
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        started = time.perf_counter()
        processes = ProcessTable(os.getuid(), pid=-1)
        async with running_devstack(
            config, Path(directory), StackShape(computes=nodes), processes=processes
        ) as stack:
            start_s = time.perf_counter() - started
            settle_memory()  # as the command devstack does
            took = [await _ops_s(stack, nodes) for _ in range(rounds)]
    return [
        Row(f"start a devstack of {nodes} noop nodes", start_s, "s"),
        Row(f"ops job on {nodes} noop nodes", min(wall for wall, _ in took), "s", target=TARGET_S),
        Row(f"CPU time of an ops job on {nodes} noop nodes", min(cpu for _, cpu in took), "s"),
    ]


async def _ops_s(stack: Devstack, nodes: int) -> tuple[float, float]:
    """Return how long an ops job takes, and how much CPU time."""
    orchestrator = stack.node.orchestrator
    started, cpu = time.perf_counter(), time.process_time()
    # Only a name of its own makes it a job of its own.
    job = replace(noop_job(f"bench-{time.monotonic_ns()}", type="ops", count=0))
    job_id = (await orchestrator.submit(job)).job_id
    async with asyncio.timeout(120):
        await _ended(orchestrator, job_id)
    took = time.perf_counter() - started, time.process_time() - cpu
    if (await orchestrator.get_job(job_id)).state.state_type is not JobStateType.COMPLETED:
        raise RuntimeError("the ops job did not complete")
    ran = (await orchestrator.executions(job_id, ExecutionQuery())).items or []
    if len({execution.node_id for execution in ran}) != nodes:
        raise RuntimeError(f"it ran on {len(ran)} of {nodes} nodes")
    return took


async def _ended(orchestrator: Orchestrator, job_id: str) -> None:
    """Wait for the end of a job; reads on after a burst of events that was too large, as every client does."""
    since = 0
    while True:
        try:
            async for event in orchestrator.events(since, job_id):
                if event.state in TERMINAL:
                    return
        except ResourceExhausted as error:
            since = int(error.details["LastSeq"])

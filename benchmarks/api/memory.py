"""How much memory a node holds."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.api.requests import NOOP
from benchmarks.harness import JOBS, Row, load, node


def measure(quick: bool) -> list[Row]:
    """Resident memory after a start, and after some thousand jobs."""
    with node() as served:
        time.sleep(1)
        idle = resident(served.process.pid)
        load(served.port, "PUT", JOBS, 20, 500 if quick else 2000, NOOP)
        time.sleep(3)
        after = resident(served.process.pid)
    return [
        Row("idle node, resident", idle, "MB", target=60),
        Row(f"node after {500 if quick else 2000} jobs, resident", after, "MB"),
    ]


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000

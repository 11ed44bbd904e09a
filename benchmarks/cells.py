"""Cells in a plain IPython, beside ``docker run``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError

ROOT = Path(__file__).parents[1]


def measure(quick: bool) -> list[Row]:
    """The first cell starts the node and is not counted."""
    image = _image()
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.cell_session", str(3 if quick else 10), image],
            cwd=ROOT,
            env={
                **environment,
                "BACALHAU_DIR": f"{directory}/repo",
                "BACALHAU_NODE_GRACEPERIOD": "0s",
                "IPYTHONDIR": f"{directory}/ipython",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"the cells failed: {done.stdout[-1500:]} {done.stderr[-1500:]}")
    found = json.loads(lines[0].removeprefix("RESULT "))
    rows = [
        Row("%load_ext bacalhau_jupyter", found["load_ext"] * 1e3, "ms", target=150),
        Row(
            "%%bacalhau python cell (confined process), median",
            statistics.median(found["process"]) * 1e3,
            "ms",
            target=150,
        ),
    ]
    rows.append(
        Row("line printed → in the cell, p50", statistics.median(found["lines"]) * 1e3, "ms", target=100)
    )
    if found["docker"]:
        ours, raw = statistics.median(found["docker"]) * 1e3, statistics.median(found["raw"]) * 1e3
        rows.append(
            Row(
                "%%bacalhau docker cell, median",
                ours,
                "ms",
                raw,
                "docker run --rm",
                1.3,
                target_is_ratio=True,
            )
        )
    return rows


def _image() -> str:
    url = docker_engine.find()
    if url is None:
        return ""
    try:
        return images.ensure_busybox(url)
    except ServiceUnavailableError:
        return ""

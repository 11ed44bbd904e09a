"""Cells in a plain IPython, beside ``docker run``."""

from __future__ import annotations

import statistics

from benchmarks.harness import Row, session_report
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError


def measure(quick: bool) -> list[Row]:
    """The first cell starts the node and is not counted."""
    image = _image()
    report = session_report("benchmarks.cells.cell_session", str(3 if quick else 10), image, timeout_s=300)
    rows = [
        Row("%load_ext bacalhau_jupyter", report["load_ext"] * 1e3, "ms", target=150),
        Row(
            "%%bacalhau python cell (confined process), median",
            statistics.median(report["process"]) * 1e3,
            "ms",
            target=150,
        ),
    ]
    rows.append(
        Row(
            "--pip of a kept set, added to a cell, median",
            statistics.median(report["packages"]) * 1e3,
            "ms",
            target=50,
        )
    )
    rows.append(
        Row("line printed → in the cell, p50", statistics.median(report["lines"]) * 1e3, "ms", target=100)
    )
    if report["plots"]:
        rows.append(
            Row("plt.show() → in the cell, p50", statistics.median(report["plots"]) * 1e3, "ms", target=300)
        )
    if report["docker"]:
        ours, raw = statistics.median(report["docker"]) * 1e3, statistics.median(report["raw"]) * 1e3
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

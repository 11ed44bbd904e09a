"""A frame of 1 GB into a cell and back on this machine, beside writing and reading its Parquet file twice."""

from __future__ import annotations

import statistics

from benchmarks.harness import Row, session_report

SIZE = 1_000_000_000
QUICK_SIZE = 100_000_000
TARGET = 1.3


def measure(quick: bool) -> list[Row]:
    """Both in turns in one process; the least of each counts, since a busy machine only ever adds."""
    size, rounds = (QUICK_SIZE, 2) if quick else (SIZE, 3)
    report = session_report("benchmarks.data.frame_session", str(size), str(rounds), timeout_s=900)
    name = f"frames: {report['bytes'] // 1_000_000} MB of Parquet into a cell and back"
    return [
        Row(
            name,
            min(report["ours"]),
            "s",
            min(report["raw"]),
            "written and read twice",
            TARGET,
            target_is_ratio=True,
        ),
        Row(
            f"{name}, median",
            statistics.median(report["ours"]),
            "s",
            statistics.median(report["raw"]),
            "the same",
        ),
    ]

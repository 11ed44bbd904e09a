"""Runs a cell's kit the way a job does, in a process of its own, and takes its output apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.records.displays import without_displays
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from bacalhau_jupyter.notebook.displays.frames import Display, DisplayReader
from tests.notebook.test_cells import BOTH, packed_kit_of


@dataclass(frozen=True)
class Done:
    """What a body did.

    Attributes
    ----------
    log
        Its stdout as the log has it.
    stdout
        The same for people.
    items
        Text and displays, in order.
    """

    returncode: int
    log: str
    stdout: str
    stderr: str
    items: list[str | Display]

    @property
    def displays(self) -> list[dict[str, Any]]:
        """The bundles, as the job sent them."""
        return [item.data for item in self.items if isinstance(item, Display)]

    @property
    def texts(self) -> list[str]:
        """The plain text of each display."""
        return [data.get("text/plain", "") for data in self.displays]


def run(
    place: Path,
    body: str,
    *,
    variables: Mapping[str, Any] | None = None,
    output_names: Sequence[str] = (),
    modules: Mapping[str, bytes] | None = None,
    first_line: int = 1,
    environment: Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
    language: str = "python",
    python: Sequence[str] = (sys.executable, "-u"),
) -> Done:
    """Run a body in ``place``; ``changes`` replaces what its description says."""
    cell = Cell(
        language,
        body,
        variables=variables or {},
        output_names=output_names,
        modules=modules or {},
        first_line=first_line,
    )
    job = job_of_cell(cell, BOTH, shares_machine=True)
    kit = place / "inputs" / ".bacalhau"
    for name, data in packed_kit_of(job).items():
        file = kit / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode({**json.loads(data), **(changes or {})}) if name == "cell.json" else data)
    (place / "outputs").mkdir(exist_ok=True)
    done = subprocess.run(
        [*python, "inputs/.bacalhau/job_runner.py"],
        cwd=place,
        env={
            **{name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", *without)},
            "BACALHAU_OUTPUTS": str(place / "outputs"),
            "BACALHAU_INPUTS": str(place / "inputs"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environment or {}),
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    log = done.stdout.decode("utf-8", "replace")
    return Done(
        done.returncode, log, without_displays(log), done.stderr.decode("utf-8", "replace"), items_of(log)
    )


def items_of(log: str, *, chunk: int = 1 << 20) -> list[str | Display]:
    """Take a log apart, as it would come in chunks of that size."""
    reader = DisplayReader(lambda: True)
    items: list[str | Display] = []
    for start in range(0, len(log), chunk):
        items += reader.feed(log[start : start + chunk])
    rest = reader.finish()
    return [*items, *([rest] if rest else [])]


__all__ = ["Done", "items_of", "run"]

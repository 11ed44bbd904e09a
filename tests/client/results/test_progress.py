"""Where a download's progress is seen: on a terminal, under a cell, nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bacalhau_jupyter.config.repo import Repo
from tests.notebook.conftest import Kernel

# Goes on once a state was shown, or was found to have no place to be shown at.
SCRIPT = """
import asyncio
from bacalhau_jupyter.client.connection.portal import Portal
from bacalhau_jupyter.client.results import progress as shown
from bacalhau_jupyter.models.records.progress import Reading
find, noted = shown.find_line, []
class Noting:
    def __init__(self, line):
        self.line = line
    def show(self, text):
        self.line.show(text)
        noted.append(text)
def noting():
    line = find()
    if line is not None:
        return Noting(line)
    noted.append(None)
shown.find_line = noting
async def work(progress):
    for done in (1, 2, 3):
        progress(Reading("downloading results", done * 1_000_000, 3_000_000))
        while len(noted) < done:
            await asyncio.sleep(0.02)
portal = Portal()
shown.run_shown(portal, work)
portal.close()
assert len(noted) >= 3
"""


def test_a_terminal_shows_one_line_that_is_gone_at_the_end() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with os.fdopen(theirs, "wb") as terminal:
            subprocess.run([sys.executable, "-c", SCRIPT], stderr=terminal, timeout=60, check=True)
        seen = b""
        # What was written arrives in pieces; an error follows the last one.
        with suppress(OSError):
            while data := screen.read(4096):
                seen += data
    assert b"\r\x1b[Kdownloading results 2.0 MB of 3.0 MB (66 %)" in seen
    assert seen.endswith(b"\r\x1b[K")
    assert b"\n" not in seen


def test_a_pipe_gets_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_cell_shows_one_output_that_is_emptied_at_the_end(tmp_path: Path) -> None:
    kernel = Kernel(Repo.open(tmp_path / "repo"), tmp_path)
    try:
        ran = kernel.run(SCRIPT)
        assert ran.status == "ok", ran.traceback
        texts = [shown["text/plain"] for shown in ran.displays]
        assert "downloading results 2.0 MB of 3.0 MB (66 %)" in texts
        assert texts[-1] == ""
    finally:
        kernel.close()

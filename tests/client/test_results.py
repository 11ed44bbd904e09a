"""Where fetched results lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.client.results import scratch_directory


def test_what_a_killed_process_left_is_removed_and_what_lives_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f"bacalhau-result-{gone.pid}-abc"
    ours = tmp_path / f"bacalhau-result-{os.getpid()}-abc"
    other = tmp_path / "bacalhau-result-notes"
    for directory in (left, ours, other):
        directory.mkdir()
        (directory / "file").write_text("x")
    made = scratch_directory()
    assert made.is_dir()
    assert made.stat().st_mode & 0o077 == 0
    assert not left.exists()
    assert ours.exists()
    assert other.exists()

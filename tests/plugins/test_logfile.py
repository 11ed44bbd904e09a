"""The log file: what a killed writer leaves, and what its successor makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.plugins.logfile import END, STDERR, STDOUT, LogWriter, read_frames, survey


def written(path: Path) -> list[tuple[int, bytes]]:
    return [(frame.stream, frame.data) for frame in read_frames(path)]


@pytest.mark.parametrize("torn", [1, 12, 13, 20])
def test_a_frame_torn_by_a_kill_is_cut_off_before_the_next_is_written(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "log"
    first = LogWriter(path)
    first.write(STDOUT, b"whole\n")
    first.write(STDERR, b"torn in its middle\n")
    first.close()
    whole = survey(path).size - len(b"torn in its middle\n") - 13
    with path.open("r+b") as file:
        file.truncate(whole + torn)
    second = LogWriter(path)
    second.write(STDERR, b"again\n")
    second.end()
    assert written(path) == [(STDOUT, b"whole\n"), (STDERR, b"again\n"), (END, b"")]
    assert survey(path).ended


def test_a_log_that_is_continued_keeps_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(3):
        writer = LogWriter(path, limit=10)
        writer.write(STDOUT, b"1234")
        writer.write(STDERR, b"ab")
        writer.close()
    assert b"".join(data for stream, data in written(path) if stream == STDOUT) == b"1234123412"
    assert survey(path).written == {STDOUT: 10, STDERR: 6}


def test_a_log_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert survey(tmp_path / "log").size == 0

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.files import Places, is_safe_id, read_output, write_results
from bacalhau_jupyter.models.records.execution import RUN_OUTPUT_LIMIT
from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT, LogWriter


def log_of(path: Path, *chunks: tuple[int, bytes]) -> Path:
    path.unlink(missing_ok=True)
    writer = LogWriter(path)
    for stream, data in chunks:
        writer.write(stream, data)
    writer.end()
    return path


def test_short_output_is_kept_whole(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", (STDOUT, b"a"), (STDERR, b"oops"), (STDOUT, b"b\n"))
    output = read_output(log, 3)
    assert (output.stdout, output.stdout_truncated) == ("ab\n", False)
    assert (output.stderr, output.stderr_truncated) == ("oops", False)
    assert output.exit_code == 3


def test_exactly_the_limit_is_not_truncated_and_one_more_is(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", (STDOUT, b"x" * RUN_OUTPUT_LIMIT), (STDERR, b"y" * (RUN_OUTPUT_LIMIT + 1)))
    output = read_output(log, 0)
    assert (len(output.stdout), output.stdout_truncated) == (RUN_OUTPUT_LIMIT, False)
    assert (len(output.stderr), output.stderr_truncated) == (RUN_OUTPUT_LIMIT, True)


@given(st.text(st.characters(codec="utf-8"), min_size=600, max_size=1200), st.integers(1, 50))
def test_a_cut_never_splits_a_character(text: str, chunk: int) -> None:
    import tempfile

    data = (text * 4).encode()
    with tempfile.TemporaryDirectory() as directory:
        pieces = [(STDOUT, data[at : at + chunk * 40]) for at in range(0, len(data), chunk * 40)]
        output = read_output(log_of(Path(directory) / "log", *pieces), 0)
    size = len(output.stdout.encode())
    assert size <= RUN_OUTPUT_LIMIT
    assert (text * 4).startswith(output.stdout)
    if output.stdout_truncated:
        assert size > RUN_OUTPUT_LIMIT - 4
    else:
        assert output.stdout == text * 4


def test_output_that_is_not_utf_8_still_fits(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", (STDOUT, b"\xff\xfe" * 1000), (STDERR, b"\xe2\x82"))
    output = read_output(log, 0)
    assert len(output.stdout.encode()) <= RUN_OUTPUT_LIMIT
    assert output.stdout_truncated
    assert output.stderr == "�"


def test_a_task_without_output_has_empty_text(tmp_path: Path) -> None:
    assert read_output(tmp_path / "missing", 1).stdout == ""


def test_results_hold_the_whole_of_both_streams_and_the_exit_code(tmp_path: Path) -> None:
    big = b"0123456789" * 300_000
    log = log_of(tmp_path / "log", (STDOUT, big), (STDERR, b"warn\n"), (STDOUT, b"end"))
    write_results(log, tmp_path / "results", 42)
    assert (tmp_path / "results/stdout").read_bytes() == big + b"end"
    assert (tmp_path / "results/stderr").read_bytes() == b"warn\n"
    assert (tmp_path / "results/exitCode").read_text() == "42"


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", "a\0b", "-x", ".hidden", "x" * 200])
def test_an_id_that_could_leave_the_directory_is_not_safe(name: str) -> None:
    assert not is_safe_id(name)


def test_removing_an_execution_does_not_follow_links_into_the_users_files(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "data.csv").write_text("keep me")
    places = Places(tmp_path / "compute")
    places.prepare()
    directory = places.fresh_inputs("e-1", 1)[0]
    (directory / "link").symlink_to(mine)
    places.ready_to_run("e-1", ["outputs"])
    assert places.directory("e-1").stat().st_mode & 0o777 == 0o700
    assert places.remove("e-1") is None
    assert (mine / "data.csv").read_text() == "keep me"

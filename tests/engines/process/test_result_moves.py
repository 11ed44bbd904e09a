"""What a job left on another file system arrives: as deep, as odd and as full of holes as it was."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.supervised.outcomes import read_outcome
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor.exit_record import UNSTORED, write_record
from bacalhau_jupyter.engines.supervised.supervisor.result_moves import settle
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.plugins.engine import EndReason

NAME = "n" * 255


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than ``tmp_path``."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    place = Path(tempfile.mkdtemp(dir=memory))
    (place / "outputs").mkdir()
    yield place
    remove_tree(place)


def moved(source: Path, target: Path) -> bytes:
    plan: Any = {"user": -1, "moves": [{"source": str(source), "target": str(target)}], "owned": []}
    return settle(plan)


def test_directories_deeper_than_a_path_is_long_are_moved_with_what_is_in_and_after_them(
    source: Path, tmp_path: Path
) -> None:
    here = os.open(source / "outputs", os.O_RDONLY)
    for _ in range(40):
        os.mkdir(NAME, dir_fd=here)
        inner = os.open(NAME, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("deep", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    (source / "outputs/z").write_bytes(b"after")
    (source / "outputs/link").symlink_to("z")
    assert moved(source, tmp_path) == b""
    assert (tmp_path / "outputs/link").readlink() == Path("z")
    assert (tmp_path / "outputs/z").read_bytes() == b"after"
    here = os.open(tmp_path / "outputs", os.O_RDONLY)
    for _ in range(40):
        inner = os.open(NAME, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    assert os.listdir(here) == ["deep"]  # noqa: PTH208
    os.close(here)
    assert not list(source.iterdir())


def test_holes_of_a_file_stay_holes(source: Path, tmp_path: Path) -> None:
    with (source / "outputs/sparse").open("wb") as file:
        file.write(b"head")
        file.seek(1 << 30)
        file.write(b"middle")
        file.truncate(1 << 31)
    moved(source, tmp_path)
    arrived = tmp_path / "outputs/sparse"
    assert arrived.stat().st_size == 1 << 31
    assert arrived.stat().st_blocks * 512 < 1 << 22
    with arrived.open("rb") as file:
        assert file.read(4) == b"head"
        file.seek(1 << 30)
        assert file.read(7) == b"middle\0"


def test_modes_and_times_of_files_are_kept(source: Path, tmp_path: Path) -> None:
    script = source / "outputs/script"
    script.write_bytes(b"#!")
    script.chmod(0o755)
    os.utime(script, ns=(1, 2_000_000_000))
    moved(source, tmp_path)
    facts = (tmp_path / "outputs/script").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime_ns) == (0o755, 2_000_000_000)


def test_an_entry_that_can_not_be_moved_is_reported_and_the_rest_is_moved(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        (source / "outputs" / name).write_bytes(name.encode())
    real = os.open

    def failing(path: Any, *arguments: Any, **options: Any) -> int:
        if path == "bad":
            raise PermissionError(1, "Operation not permitted")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    assert moved(source, tmp_path) == b"left out of the results: outputs/bad: Operation not permitted\n"
    assert (tmp_path / "outputs/good").read_bytes() == b"good"


def test_a_job_whose_results_can_not_be_stored_is_not_run_again(tmp_path: Path) -> None:
    state = State(tmp_path, "e-1")
    state.path.mkdir()
    write_record(str(state.record_file), UNSTORED, 0, "the results could not be stored: no space")
    outcome = read_outcome(state)
    assert outcome.reason is EndReason.ERROR
    assert outcome.error is not None
    assert outcome.error.fails_job
    assert outcome.error.message == "the results could not be stored: no space"

"""The submission record: bounded, private, whole whatever is written beside it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bacalhau_jupyter.config import lines
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.models.errors import IOFailure


@pytest.fixture
def record(tmp_path: Path) -> Submissions:
    """The record of a fresh repo directory."""
    return Submissions(Repo(tmp_path / "repo"))


def test_a_record_that_is_not_there_is_empty(record: Submissions, tmp_path: Path) -> None:
    assert record.every() == []
    assert not (tmp_path / "repo").exists()


def test_the_newest_submissions_stay_when_there_are_many(
    record: Submissions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "FILE_LIMIT", 4_000)
    for number in range(500):
        record.add(Submission(f"j-{number}", notebook="/n.ipynb", cell="c"))
    file = tmp_path / "repo" / "submissions.jsonl"
    assert file.stat().st_size <= 4_000
    assert file.stat().st_mode & 0o777 == 0o600
    assert record.every()[-1].job_id == "j-499"
    assert len(record.every()) > 20


def test_lines_that_can_not_be_read_are_left_out(record: Submissions, tmp_path: Path) -> None:
    record.add(Submission("j-1"))
    with (tmp_path / "repo" / "submissions.jsonl").open("ab") as file:
        file.write(b'{"job_id": 7}\nnot json\n\xff\xfe\n[]\n{"job_id": "j-cut')
    assert [one.job_id for one in record.every()] == ["j-1"]


def test_a_line_without_bounds_is_refused(record: Submissions) -> None:
    with pytest.raises(IOFailure, match="too long"):
        record.add(Submission("j-1", notebook="x" * 100_000))
    assert record.every() == []


def test_a_link_in_place_of_the_record_is_not_followed(record: Submissions, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "submissions.jsonl").symlink_to(target)
    with pytest.raises(IOFailure):
        record.add(Submission("j-1"))
    assert target.read_text() == ""


def test_processes_that_write_at_once_lose_no_line(record: Submissions, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom bacalhau_jupyter.config import submissions as s\n"
        "from bacalhau_jupyter.config.repo import Repo\n"
        "record = s.Submissions(Repo(sys.argv[1]))\n"
        "for n in range(100): record.add(s.Submission(f'{sys.argv[2]}-{n}', notebook='/' + 'x' * 200))\n"
    )

    def write(name: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "repo"), name], check=False, timeout=60
        ).returncode

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(write, "abc")) == [0, 0, 0]
    assert {one.job_id for one in record.every()} == {f"{name}-{n}" for name in "abc" for n in range(100)}


def test_the_last_job_is_that_of_the_notebook_or_the_directory_and_first_of_the_cluster(
    record: Submissions,
) -> None:
    for job_id, endpoint, notebook, directory in (
        ("j-1", "http://a", "/n.ipynb", ""),
        ("j-2", "http://b", "/n.ipynb", ""),
        ("j-3", "http://a", "", "/work"),
        ("j-4", "http://a", "/other.ipynb", ""),
    ):
        record.add(Submission(job_id, endpoint=endpoint, notebook=notebook, directory=directory))
    assert record.last("http://a", notebook="/n.ipynb") == "j-1"
    assert record.last("http://b", notebook="/n.ipynb") == "j-2"
    assert record.last("http://moved", notebook="/n.ipynb") == "j-2"
    assert record.last("http://a", directory="/work") == "j-3"
    assert record.last("http://a", directory="/elsewhere") == ""

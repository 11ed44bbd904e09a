"""A result needs no job and no cluster: whatever opens its files will do."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.portal import Portal
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.sources import ResultSource
from bacalhau_jupyter.client.results.tree import ResultTree
from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task, replace
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    Execution,
    ExecutionStateType,
    RunCommandResult,
)
from bacalhau_jupyter.transfer.archive.ranges import FileRanges
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader


@dataclass
class Archive:
    """Opens a result that lies in an archive of this machine."""

    path: Path
    portal: Portal
    short_id: str = "j-1"

    @property
    def features(self) -> tuple[str, ...]:
        return ()

    def result_tree(self, executions: Sequence[Execution]) -> ResultTree:
        return ResultTree([ResultSource("e-1", "raw", ArchiveReader(FileRanges(self.path)))], self.short_id)

    def results(self) -> list[SpecConfig]:
        return [SpecConfig(type="urlDownload", params={"URL": "http://there/x.tar.gz"})]

    def printed(self, stream: str) -> str:
        return f"all of {stream}"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "t.csv", "outputs/t.csv")
    portal = Portal()
    yield Archive(tmp_path / "x.tar.gz", portal)
    portal.close()


def executed(**output: object) -> Execution:
    return Execution(
        id="e-1",
        compute_state=ComputeState(state_type=ExecutionStateType.COMPLETED),
        run_output=RunCommandResult(**output),  # type: ignore[arg-type]
    )


def test_files_are_listed_and_read(origin: Archive) -> None:
    result = JobResult(origin, Job(id="j-1"), [executed()])
    assert result.ls() == ["outputs/t.csv"]
    assert result.text("outputs/t.csv") == "a,b\n1,2\n"
    assert (result.path / "outputs" / "t.csv").is_file()


def test_its_record_says_how_it_ended(origin: Archive) -> None:
    job = Job(id="j-1", tasks=[Task(engine=SpecConfig(type="process"))])
    result = JobResult(origin, job, [executed(exit_code=3)])
    assert result.exit_code == 3
    assert repr(result) == "<JobResult j-1: Undefined, exit code 3, process>"
    ended = replace(job, state=JobState(state_type=JobStateType.COMPLETED))
    assert repr(JobResult(origin, ended, [executed(exit_code=3)])) == "<JobResult j-1: exit code 3, process>"
    assert "Completed, exit code 0" in repr(JobResult(origin, ended, [executed()]))


def test_output_that_the_record_cuts_comes_from_the_logs(origin: Archive) -> None:
    result = JobResult(origin, Job(id="j-1"), [executed(stdout="all", stdout_truncated=True)])
    assert result.stdout == "all of stdout"


def test_the_archives_are_where_the_origin_says(origin: Archive) -> None:
    assert JobResult(origin, Job(id="j-1"), []).archive_urls() == ["http://there/x.tar.gz"]

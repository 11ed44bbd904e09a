"""Results kept on the node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import ResultPath, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.publishers.local import LocalPublisher
from bacalhau_jupyter.publishers.shelf import result_path
from bacalhau_jupyter.transfer.archive.tar_gz import unpack
from tests.transfer.helpers import names, small_disk, tree

EXECUTION = Execution(
    id="e-6b1d1d9e-0000-4000-8000-000000000000",
    job=Job(tasks=[Task(result_paths=[ResultPath(name="outputs", path="/outputs")])]),
)


def make(data_dir: Path) -> LocalPublisher:
    return LocalPublisher(PluginOptions(node_id="n-1", data_dir=data_dir))


def results(root: Path, stdout: bytes = b"hi\n") -> Path:
    directory = root / "results"
    (directory / "outputs/run").mkdir(parents=True, exist_ok=True)
    (directory / "stdout").write_bytes(stdout)
    (directory / "exitCode").write_text("0")
    return directory


async def test_results_are_kept_private_under_a_reference_that_never_goes_stale(tmp_path: Path) -> None:
    publisher = make(tmp_path / "data")
    assert (await publisher.probe()).available
    assert (await publisher.bid(EXECUTION, SpecConfig(type="local"))).accepted
    directory = results(tmp_path)
    (directory / "outputs/latest").symlink_to("/outputs/run")
    reference = await publisher.publish(PublishRequest(EXECUTION, directory))
    assert reference == SpecConfig(type="local", params={"ExecutionID": EXECUTION.id, "NodeID": "n-1"})
    archive = result_path(tmp_path / "data", EXECUTION.id)
    assert archive == tmp_path / f"data/results/local-publisher/{EXECUTION.id}.tar.gz"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent.stat().st_mode & 0o777 == 0o700
    await unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out").keys() == tree(directory).keys()
    # The job's own absolute link works wherever the results are unpacked.
    assert tree(tmp_path / "out")["outputs/latest"] == ("link", "run", 0)


async def test_publishing_again_replaces_the_first_try(tmp_path: Path) -> None:
    publisher = make(tmp_path / "data")
    for text in (b"one", b"two"):
        await publisher.publish(PublishRequest(EXECUTION, results(tmp_path, text)))
    await unpack(result_path(tmp_path / "data", EXECUTION.id), tmp_path / "out")
    assert (tmp_path / "out/stdout").read_bytes() == b"two"
    assert len(names(tmp_path / "data/results/local-publisher")) == 1


async def test_a_full_disk_fails_the_publishing_names_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data") as disk:
        publisher = make(disk)
        await publisher.probe()
        with pytest.raises(IOFailure) as caught:
            await publisher.publish(PublishRequest(EXECUTION, results(tmp_path, os.urandom(5_000_000))))
        archive = result_path(disk, EXECUTION.id)
        assert str(caught.value).startswith(
            f"the results could not be published: the disk is full: could not write {archive} ("
        )
        assert "free some space" in caught.value.hint
        assert names(archive.parent) == []
        # The node goes on: the next, smaller one fits.
        await publisher.publish(PublishRequest(EXECUTION, results(tmp_path)))


async def test_a_link_out_of_the_results_is_left_out_and_reported(tmp_path: Path) -> None:
    directory = results(tmp_path)
    (directory / "outputs/leak").symlink_to("/etc/shadow")
    request = PublishRequest(EXECUTION, directory)
    await make(tmp_path / "data").publish(request)
    assert [str(left) for left in request.left_out] == [
        "outputs/leak → /etc/shadow (a link out of the results)"
    ]
    await unpack(result_path(tmp_path / "data", EXECUTION.id), tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == ["exitCode", "outputs", "outputs/run", "stdout"]


async def test_what_a_crash_left_half_written_is_removed_at_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "data/results/local-publisher"
    directory.mkdir(parents=True)
    (directory / ".e-1.tar.gz.abc.part").write_bytes(b"half")
    (directory / "e-0.tar.gz").write_bytes(b"whole")
    assert (await make(tmp_path / "data").probe()).available
    assert names(directory) == ["e-0.tar.gz"]


async def test_a_directory_that_cannot_be_made_makes_the_publisher_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    probe = await make(tmp_path / "data").probe()
    assert not probe.available
    assert "could not write to" in probe.problem


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0", "e-1\n", "-x", "é", "x" * 200]
)
def test_an_invalid_execution_id_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="is not an execution ID"):
        result_path(tmp_path, name)

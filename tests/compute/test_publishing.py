"""What becomes of results that can't be published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.execution.events import Published, Unpublished
from bacalhau_jupyter.compute.execution.publishing import publish
from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, NetworkFailure
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import Availability, Bid, Publisher, PublishRequest
from bacalhau_jupyter.publishers.local import LocalPublisher
from bacalhau_jupyter.publishers.shelf import result_path

EXECUTION = Execution(id="e-1", job=Job(tasks=[Task()]))
DELAYS_S = (1.0, 5.0)


class Bucket:
    """A publisher that fails so many times (or always), and counts."""

    type = "bucket"

    def __init__(self, error: BacalhauError, fails: int = 1000) -> None:
        self.error, self.fails, self.tries = error, fails, 0

    async def probe(self) -> Availability:
        return Availability(available=True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        self.tries += 1
        if self.tries <= self.fails:
            raise self.error
        return SpecConfig(type="bucket")

    async def close(self) -> None:
        return


async def attempt(
    tmp_path: Path, bucket: Bucket, *, keeper: bool = True
) -> tuple[Published | Unpublished, Sequence[float]]:
    directory = tmp_path / "results"
    directory.mkdir()
    (directory / "stdout").write_text("hi")
    (directory / "leak").symlink_to("/etc/passwd")
    local = LocalPublisher(PluginOptions(node_id="n-1", data_dir=tmp_path / "data"))
    publishers: dict[str, Publisher] = {"bucket": bucket} | ({"local": local} if keeper else {})
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    request = PublishRequest(EXECUTION, directory)
    return await publish(publishers.get, "bucket", request, DELAYS_S, sleep), slept


async def test_trouble_that_may_pass_is_waited_out(tmp_path: Path) -> None:
    bucket = Bucket(NetworkFailure("nobody there"), fails=2)
    outcome, slept = await attempt(tmp_path, bucket)
    assert outcome == Published(SpecConfig(type="bucket"))
    assert slept == [1.0, 5.0]


async def test_trouble_that_does_not_pass_is_waited_for_a_few_times_only(tmp_path: Path) -> None:
    bucket = Bucket(NetworkFailure("nobody there"))
    outcome, _ = await attempt(tmp_path, bucket)
    assert isinstance(outcome, Unpublished)
    assert bucket.tries == 3


async def test_results_are_kept_on_the_node_after_a_permanent_error(tmp_path: Path) -> None:
    bucket = Bucket(Forbidden("access is denied", hint="ask for more rights."))
    outcome, slept = await attempt(tmp_path, bucket)
    assert isinstance(outcome, Unpublished)
    assert (bucket.tries, slept) == (1, [])
    assert outcome.kept is not None
    assert outcome.kept.type == "local"
    assert result_path(tmp_path / "data", "e-1").is_file()
    assert outcome.left_out == ("leak → /etc/passwd (a link out of the results)",)
    assert outcome.fault.message == (
        "the results could not be published: access is denied; they are kept on the node that ran it"
    )
    assert outcome.fault.details["FailsJob"] == "true"
    assert outcome.fault.details["Hint"] == "ask for more rights; `job get` fetches what was kept"


@pytest.mark.parametrize("error", [BacalhauError("no"), RuntimeError("a mistake of the plug-in's")])
async def test_without_a_place_on_the_node_the_job_is_over_all_the_same(
    tmp_path: Path, error: BacalhauError
) -> None:
    outcome, _ = await attempt(tmp_path, Bucket(error), keeper=False)
    assert isinstance(outcome, Unpublished)
    assert outcome.kept is None
    assert outcome.fault.details["FailsJob"] == "true"

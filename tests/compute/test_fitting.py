"""Reports are cut to what a link carries, the least first."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.compute.execution.fitting import REPORT_LIMIT, fitting
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult

LONG = "\x01" * 100_000
MANY = Event(message="x", details={str(number): "y" * 5000 for number in range(60)})


@pytest.mark.parametrize(
    "report",
    [
        BidResult(execution_id="e-1", events=[Event(message=LONG, details={"Hint": LONG})]),
        ComputeError(execution_id="e-1", events=[Event(message="x", details={LONG: LONG})] * 5),
        RunResult(
            execution_id="e-1",
            events=[MANY] * 60,
        ),
        RunResult(execution_id="e-1", publish_result=SpecConfig(type="s3", params={"Key": LONG})),
        RunResult(execution_id="e-1", run_command_result=RunCommandResult(exit_code=3, error_msg=LONG)),
    ],
)
@pytest.mark.parametrize("limit", [REPORT_LIMIT, 60_000])
def test_whatever_a_job_makes_long_is_cut(report: BidResult | ComputeError | RunResult, limit: int) -> None:
    assert len(encode(report)) > REPORT_LIMIT
    shorter = fitting(report, limit)
    assert len(encode(shorter)) <= limit
    assert shorter.execution_id == "e-1"
    if isinstance(report, RunResult) and report.run_command_result is not None:
        assert isinstance(shorter, RunResult) and shorter.run_command_result is not None
        assert shorter.run_command_result.exit_code == 3


def test_what_fits_stays_as_it_is() -> None:
    report = BidResult(execution_id="e-1", events=[Event(message="x" * 9000)])
    assert fitting(report, REPORT_LIMIT) is report

"""Reports as short as the link carries them: one that it does not take would hold up all that come after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import BidResult, ToOrchestrator

REPORT_LIMIT = 512 * 1024
"""Most bytes of a report. Official orchestrators take messages of 1 MiB."""

_EVENTS = 50
_DETAILS = 50
_NAME = 200
_TEXTS = (8000, 1000, _NAME)
"""Characters of each text, tried in turn until the report fits."""

Report = TypeVar("Report", bound=ToOrchestrator)


def fitting(report: Report, limit: int) -> Report:
    """Return a report that has ``limit`` bytes at most: its texts are cut, which jobs and file names can make long.

    A published result can't be cut. One that does not fit is left out: what it leads to is kept all the same.
    """
    if len(encode(report)) <= limit:
        return report
    for most in _TEXTS:
        shorter = _shortened(report, most)
        if len(encode(shorter)) <= limit:
            return shorter
    least = replace(report, events=_events(report, _NAME)[:1])
    if isinstance(least, BidResult):
        return least
    exit_code = (least.run_command_result or RunCommandResult()).exit_code
    output = RunCommandResult(exit_code=exit_code, stdout_truncated=True, stderr_truncated=True)
    return replace(least, publish_result=SpecConfig(), run_command_result=output)


def _shortened(report: Report, most: int) -> Report:
    shorter = replace(report, events=_events(report, most))
    if isinstance(shorter, BidResult) or shorter.run_command_result is None:
        return shorter
    output = shorter.run_command_result
    return replace(shorter, run_command_result=replace(output, error_msg=_cut(output.error_msg, most)))


def _events(report: ToOrchestrator, most: int) -> list[Event]:
    return [
        replace(event, message=_cut(event.message, most), details=_details(event.details, most))
        for event in (report.events or [])[:_EVENTS]
    ]


def _details(details: Mapping[str, str], most: int) -> dict[str, str]:
    return {_cut(name, _NAME): _cut(text, most) for name, text in list(details.items())[:_DETAILS]}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

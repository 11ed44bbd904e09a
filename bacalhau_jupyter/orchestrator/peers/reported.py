"""What a node reports, cut to a size that can be kept and shown, with times by this orchestrator's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339, rfc3339
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import RUN_OUTPUT_LIMIT, RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import BidResult, ToOrchestrator

EVENTS_LIMIT = 50
"""Events of one message that become history."""
TEXT_LIMIT = 8000
"""Characters of an event's message, and of one of its details."""
DETAILS_LIMIT = 50
"""Details of one event."""
PORTS_LIMIT = 1000
"""Ports of one bid."""
CLOCK_TOLERANCE_S = 30.0
"""Seconds that a node's clock may differ before its times are replaced."""
NODE_TIME = "NodeTime"
"""Detail of an event: when it happened by the clock of its node, where that clock is wrong."""

Report = TypeVar("Report", bound=ToOrchestrator)


def bounded(message: Report) -> Report:
    """Return a report without what is too long to be kept."""
    if message.events:
        message = replace(message, events=[bounded_event(event) for event in message.events[:EVENTS_LIMIT]])
    if isinstance(message, BidResult):
        return replace(message, ports=message.ports[:PORTS_LIMIT])
    if message.run_command_result is not None:
        message = replace(message, run_command_result=_output(message.run_command_result))
    return message


def bounded_event(event: Event) -> Event:
    """Return an event without what is too long to be kept."""
    return replace(
        event,
        message=_cut(event.message),
        topic=_cut(event.topic, 100),
        timestamp=event.timestamp[:100],
        details=_details(event.details),
    )


def _details(details: Mapping[str, str]) -> dict[str, str]:
    return {_cut(name, 100): _cut(text) for name, text in list(details.items())[:DETAILS_LIMIT]}


def _output(output: RunCommandResult) -> RunCommandResult:
    stdout, stderr = _head(output.stdout), _head(output.stderr)
    return replace(
        output,
        stdout=stdout,
        stdout_truncated=output.stdout_truncated or stdout != output.stdout,
        stderr=stderr,
        stderr_truncated=output.stderr_truncated or stderr != output.stderr,
        error_msg=_cut(output.error_msg),
    )


def _head(text: str) -> str:
    # Bytes that are no text take three each as replacement characters, so a node's own cut may be longer than ours.
    if len(text) <= RUN_OUTPUT_LIMIT:
        return text
    return text.encode("utf-8", "replace")[:RUN_OUTPUT_LIMIT].decode("utf-8", "ignore")


def _cut(text: str, most: int = TEXT_LIMIT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def by_our_clock(events: Sequence[Event], made_ns: int, now_ns: int) -> tuple[list[Event], int]:
    """Return a node's events with times that this orchestrator's clock allows.

    Nothing happens to an execution before it is made or after its report arrives. What is outside is moved with the
    rest of the message, so that the last event is the arrival; what the node said stays in a detail.

    Parameters
    ----------
    events
        As reported.
    made_ns, now_ns
        When the execution was made, and now; Unix nanoseconds.

    Returns
    -------
    tuple
        The events, and by how much at least the node's clock is ahead (nanoseconds; negative: behind; 0 if it may be
        right).
    """
    times = [time for event in events if (time := _time(event)) is not None]
    if not times:
        return list(events), 0
    tolerance = int(CLOCK_TOLERANCE_S * SECOND)
    if max(times) > now_ns + tolerance:
        difference = max(times) - now_ns
    elif min(times) < made_ns - tolerance:
        difference = min(times) - made_ns
    else:
        return list(events), 0
    return [_moved(event, now_ns - max(times), made_ns) for event in events], difference


def _moved(event: Event, shift: int, earliest_ns: int) -> Event:
    time = _time(event)
    if time is None:
        return event
    return replace(
        event,
        timestamp=rfc3339(max(time + shift, earliest_ns)),
        details={**event.details, NODE_TIME: event.timestamp},
    )


def _time(event: Event) -> int | None:
    try:
        return parse_rfc3339(event.timestamp)
    except (ValueError, OverflowError):
        return None

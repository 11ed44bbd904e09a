"""Lines on what happens to a job in a shell."""

from __future__ import annotations

from bacalhau_jupyter.cli.lines import EventLines
from bacalhau_jupyter.models.records.history import StreamEvent


def event(topic: str, message: str, part: int = 0) -> StreamEvent:
    return StreamEvent(topic=topic, message=message, execution=f"e-{part}" if part else "")


def lines_told(lines: EventLines, events: list[StreamEvent]) -> list[str]:
    return [line for each in events if (line := lines.line(each))]


def test_the_lines_of_many_parts_are_counted_and_what_is_said_once_stays() -> None:
    lines = EventLines(folds=True)
    events = [event("Submission", "Job submitted")]
    for part in range(1, 1051):
        events += [
            event("Scheduling", f"Requested execution on n-{part}", part),
            event("Progress", "running", part),
            event("Execution", "Completed successfully", part),
        ]
    events.append(event("Execution", "exit code 7 in part e-3", 3))
    assert lines_told(lines, events) == [
        "Submission       Job submitted",
        "Scheduling       Requested execution on n-1",
        "Progress         running",
        "Execution        Completed successfully",
        *(
            line
            for count in ("10", "100", "1,000")
            for line in (
                f"Scheduling       Requested execution ({count} times)",
                f"Progress         running ({count} times)",
                f"Execution        Completed successfully ({count} times)",
            )
        ),
        "Execution        exit code 7 in part e-3",
    ]
    assert lines.rest() == [
        "Scheduling       Requested execution (1,050 times)",
        "Execution        Completed successfully (1,050 times)",
    ]
    assert lines.rest() == []


def test_of_a_single_part_all_is_told_but_a_phase_once() -> None:
    lines = EventLines(folds=False)
    events = [
        event("Progress", "pulling", 1),
        event("Progress", "pulling", 1),
        event("Execution", "Running", 1),
    ]
    assert lines_told(lines, [*events, event("Execution", "Running", 1)]) == [
        "Progress         pulling",
        "Execution        Running",
        "Execution        Running",
    ]
    assert lines.rest() == []

"""What an execution notes while the machine that runs its task can't be reached. Pure, as the state machine.

Nothing is decided before the machine answers again: a task that ended there within its time limit has completed,
however late that is heard of here.
"""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Verdict
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.jobs.units import format_duration
from bacalhau_jupyter.models.records.history import LINK, Event, Topic
from bacalhau_jupyter.plugins.engine import EndReason, Outcome

CLOCK_TOLERANCE_S = 5
"""Seconds by which the clock of a machine may be wrong without anybody knowing."""
LATE_S = 10.0
"""Seconds after its end from which on the news of it counts as late."""


def lost(
    record: ExecutionRecord, problem: str, now_ns: int, *, is_engine_off: bool = False
) -> ExecutionRecord | None:
    """Note that the machine does not answer, or that its engine is off; None where that is known."""
    if record.is_away:
        return None
    # Of a way that breaks again and again, the first time is worth an event.
    notes = record.notes
    if not has_link_notes(record):
        # An engine that was stopped has stopped its containers, unless it was told to let them live.
        task = "the task may have ended with it" if is_engine_off else "the task goes on there"
        notes = [*notes, _note(f"{problem or 'its host does not answer'}; {task}", now_ns)]
    return msgspec.structs.replace(record, away_ns=now_ns, notes=notes)


def returned(record: ExecutionRecord, now_ns: int) -> ExecutionRecord | None:
    """Note that the machine answers again; None where it was not away."""
    if not record.is_away:
        return None
    notes, count = record.notes, sum(LINK in note.details for note in record.notes)
    if count == 1:
        away = format_duration((now_ns - record.away_ns) / SECOND)
        notes = [*notes, _note(f"its host answers again, after {away}", now_ns)]
    return msgspec.structs.replace(record, back_ns=now_ns, notes=notes)


def ended(record: ExecutionRecord, outcome: Outcome, now_ns: int) -> ExecutionRecord:
    """Note when the task began and ended by its own machine, which may be long ago."""
    ended_ns = outcome.ended_ns
    late_ns = now_ns - ended_ns if ended_ns else 0
    record = msgspec.structs.replace(
        record,
        started_ns=_began_ns(record, outcome),
        exited_ns=ended_ns or now_ns,
        late_ns=late_ns if late_ns > LATE_S * SECOND else 0,
    )
    when, text = rfc3339(ended_ns - ended_ns % SECOND), ""
    if record.away_ns and record.away_ns < ended_ns < (record.back_ns or now_ns):
        text = f"the task ended at {when}, while its host did not answer"
    elif record.late_ns:
        heard = format_duration(late_ns / SECOND)
        text = f"the task ended at {when}; this node heard of it {heard} later: it slept, or did not run"
    if text:
        record = msgspec.structs.replace(record, notes=[*record.notes, _note(text, now_ns)])
    if outcome.reason is EndReason.EXITED and record.verdict is Verdict.TIMED_OUT and is_in_time(record):
        record = msgspec.structs.replace(record, verdict=Verdict.NONE)
    return record


def overdue(record: ExecutionRecord, now_ns: int) -> ExecutionRecord:
    """Note why a task is stopped long after its time limit."""
    if record.back_ns and record.back_ns >= record.limit_ns:
        text = "the task still ran when its host answered again, after its time limit: it is stopped"
    elif now_ns - record.limit_ns - record.late_ns > LATE_S * SECOND:
        over = format_duration((now_ns - record.limit_ns - record.late_ns) / SECOND)
        text = f"the task is stopped {over} after its time limit: this node slept, or did not run"
    else:
        return record
    return msgspec.structs.replace(record, notes=[*record.notes, _note(text, now_ns)])


def is_in_time(record: ExecutionRecord) -> bool:
    """Whether the task has ended within its time limit."""
    return bool(record.exited_ns) and (not record.limit_ns or record.exited_ns <= record.limit_ns)


def has_link_notes(record: ExecutionRecord) -> bool:
    """Whether the machine was away while the task was there."""
    return any(LINK in note.details for note in record.notes)


def link_notes(record: ExecutionRecord) -> list[Event]:
    """Return the events about the way to the machine."""
    return [note for note in record.notes if LINK in note.details]


def _began_ns(record: ExecutionRecord, outcome: Outcome) -> int:
    """Return when the task began: its machine knows better, unless its clock was set since."""
    earliest_ns = record.accepted_ns - CLOCK_TOLERANCE_S * SECOND
    is_possible = outcome.began_ns and outcome.began_ns >= earliest_ns
    return outcome.began_ns if is_possible or not record.started_ns else record.started_ns


def _note(text: str, now_ns: int) -> Event:
    return Event(message=text, topic=Topic.RUNNING, timestamp=rfc3339(now_ns), details={LINK: "true"})

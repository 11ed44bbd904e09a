"""The life of one execution on this node, as a pure function: events in, instructions out.

::

             bid made           accepted            fetched           started         ended
        NEW ──────────► OFFERED ──────────► FETCHING ────────► STARTING ───────► RUNNING ───────► PUBLISHING
         │                 │               (if inputs)                              │            (if publisher)
         ▼                 ▼                                                        └─────┬────────────┘
    BID_REFUSED     BID_REJECTED            from every phase: FAILED, CANCELLED           ▼ COMPLETED

``NEW``, ``FETCHING``, ``STARTING``, ``RUNNING`` and ``PUBLISHING`` each have one *activity* at work, which ends
with exactly one event. A cancellation or time-out does not jump ahead of it: it is noted as the *verdict*, the
activity is interrupted, and its end decides. So when a record is terminal nothing of it runs any more, its
capacity is free, and the verdict survives a restart.

A task may run on a machine that can't be reached for a while (`Lost`, `Returned`). Nothing ends for that: the activity
goes on waiting, and so do a cancellation and the judgement of a time limit (`absence`).

An event that does not fit (duplicate, late, out of order) changes nothing and says so in the step's story.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from bacalhau_jupyter.compute.execution import absence
from bacalhau_jupyter.compute.execution.events import (
    Accepted,
    Act,
    BidMade,
    BidRefused,
    Cancel,
    Ended,
    Event,
    Faulted,
    Fetched,
    Lost,
    OfferExpired,
    Overdue,
    Published,
    Rejected,
    Restored,
    Returned,
    Started,
    Step,
    Unpublished,
)
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Fault, Phase, Verdict
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import CAPACITY, FAILS_JOB, BacalhauError, TimedOut
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.history import Event as HistoryEvent
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.plugins.engine import EndReason


def admit(execution: Execution, direct: bool, now_ns: int) -> Step:
    """Begin: a record for an execution this node did not know."""
    return Step(
        ExecutionRecord(execution=execution, direct=direct, created_ns=now_ns),
        (Act.EVALUATE,),
        "asked for a bid",
    )


def step(record: ExecutionRecord, event: Event, now_ns: int) -> Step:
    """Apply an event.

    Parameters
    ----------
    record
        The execution as it is.
    event
        What happened.
    now_ns
        Unix time in nanoseconds.

    Returns
    -------
    Step
        The record after it and what to do next; the same record and no instruction where the event does not fit.
    """
    if record.phase.is_terminal:
        return _ignore(record, event)
    handler = _HANDLERS[type(event)]
    return handler(record, event, now_ns)


def _bid_made(record: ExecutionRecord, event: BidMade, now_ns: int) -> Step:
    if record.phase is not Phase.NEW:
        return _ignore(record, event)
    record = _with(
        record, held=event.held, ports=list(event.ports), bid_notes=list(event.notes), reserved=True
    )
    if record.verdict is not Verdict.NONE:
        return _conclude(record, now_ns)
    if record.direct:
        begun = _begin(record, now_ns, "bid made and started at once")
        # Nobody waits for the bid of such an execution, but people want to know what comes with it.
        is_told = bool(record.ports or record.bid_notes)
        return replace(begun, acts=(Act.REPORT_BID, *begun.acts)) if is_told else begun
    return Step(_with(record, phase=Phase.OFFERED), (Act.REPORT_BID,), "bid made")


def _bid_refused(record: ExecutionRecord, event: BidRefused, now_ns: int) -> Step:
    if record.phase is not Phase.NEW:
        return _ignore(record, event)
    if record.verdict is not Verdict.NONE:
        return _conclude(record, now_ns)
    details = {CAPACITY: "true"} if event.busy else {}
    fault = Fault(message=event.message, topic=Topic.EXECUTION_SCANNING, details=details)
    return _terminal(
        _with(record, fault=fault),
        Phase.BID_REFUSED,
        Act.REPORT_REFUSAL,
        now_ns,
        f"bid refused: {event.message}",
    )


def _accepted(record: ExecutionRecord, event: Accepted, now_ns: int) -> Step:
    if record.phase is Phase.NEW and not record.direct and record.verdict is Verdict.NONE:
        # The decision overtook our own answer: as if it had been wanted running from the start.
        return Step(_with(record, direct=True), (), "bid accepted before it was made")
    if record.phase is not Phase.OFFERED:
        return _ignore(record, event)
    return _begin(record, now_ns, "bid accepted")


def _rejected(record: ExecutionRecord, event: Rejected, now_ns: int) -> Step:
    if record.phase is Phase.OFFERED:
        return _terminal(record, Phase.BID_REJECTED, None, now_ns, "bid rejected")
    if record.phase is Phase.NEW:
        return _judge(record, Verdict.CANCELLED, event)
    return _ignore(record, event)


def _cancel(record: ExecutionRecord, event: Cancel, now_ns: int) -> Step:
    if record.phase is Phase.OFFERED:
        return _terminal(record, Phase.CANCELLED, None, now_ns, "cancelled")
    return _judge(record, Verdict.CANCELLED, event)


def _overdue(record: ExecutionRecord, event: Overdue, now_ns: int) -> Step:
    if not record.phase.is_busy or record.phase is Phase.NEW:
        return _ignore(record, event)
    judged = _judge(record, Verdict.TIMED_OUT, event)
    return replace(judged, record=absence.overdue(judged.record, now_ns)) if judged.changed else judged


def _offer_expired(record: ExecutionRecord, event: OfferExpired, now_ns: int) -> Step:
    if record.phase is not Phase.OFFERED:
        return _ignore(record, event)
    fault = Fault(
        message="the bid was not decided in time",
        topic=Topic.EXECUTION_SCANNING,
        details={"IsError": "true", "Retryable": "true"},
    )
    return _fail(_with(record, fault=fault), now_ns)


def _fetched(record: ExecutionRecord, event: Fetched, now_ns: int) -> Step:
    if record.phase is not Phase.FETCHING:
        return _ignore(record, event)
    if record.verdict is not Verdict.NONE:
        return _conclude(record, now_ns)
    notes = list(record.notes)
    if event.story:
        notes.append(_note(event, now_ns))
    record = _with(record, phase=Phase.STARTING, inputs=list(event.inputs), notes=notes)
    return Step(record, (Act.START,), "inputs are fetched")


def _note(event: Fetched, now_ns: int) -> HistoryEvent:
    return HistoryEvent(
        message=event.story, topic=Topic.INPUTS, timestamp=rfc3339(now_ns), details=dict(event.details)
    )


def _started(record: ExecutionRecord, event: Started, now_ns: int) -> Step:
    if record.phase is not Phase.STARTING:
        return _ignore(record, event)
    record = _with(record, phase=Phase.RUNNING, runtime=event.runtime or record.runtime, started_ns=now_ns)
    # The interruption may have come too late for the start: the task that runs now must end, too.
    acts = (Act.WAIT,) if record.verdict is Verdict.NONE else (Act.WAIT, Act.INTERRUPT)
    return Step(record, acts, f"running in {record.runtime}")


def _ended(record: ExecutionRecord, event: Ended, now_ns: int) -> Step:
    if record.phase is not Phase.RUNNING:
        return _ignore(record, event)
    outcome = event.outcome
    record = absence.ended(_with(record, output=event.output), outcome, now_ns)
    if record.verdict is not Verdict.NONE:
        return _conclude(record, now_ns)
    if outcome.reason is EndReason.TIMEOUT:
        return _conclude(_with(record, verdict=Verdict.TIMED_OUT), now_ns)
    if outcome.error is not None or outcome.reason is not EndReason.EXITED:
        error = outcome.error or BacalhauError(f"the task ended unexpectedly ({outcome.reason.value})")
        return _fail(_with(record, fault=Fault.of(error, Topic.RUNNING)), now_ns)
    job = record.execution.job
    if job is None or job.task.publisher.is_empty:
        return _complete(record, now_ns)
    return Step(
        _with(record, phase=Phase.PUBLISHING), (Act.PUBLISH,), f"ended with exit code {outcome.exit_code}"
    )


def _published(record: ExecutionRecord, event: Published, now_ns: int) -> Step:
    if record.phase is not Phase.PUBLISHING:
        return _ignore(record, event)
    if record.verdict is Verdict.CANCELLED:
        return _conclude(record, now_ns)
    # A result that was published just in time is worth more than the limit it missed.
    return _complete(_with(record, published=event.result, left_out=list(event.left_out)), now_ns)


def _unpublished(record: ExecutionRecord, event: Unpublished, now_ns: int) -> Step:
    if record.phase is not Phase.PUBLISHING:
        return _ignore(record, event)
    if record.verdict is Verdict.CANCELLED:
        return _conclude(record, now_ns)
    kept = _with(record, published=event.kept, left_out=list(event.left_out), fault=event.fault)
    return _fail(kept, now_ns)


def _faulted(record: ExecutionRecord, event: Faulted, now_ns: int) -> Step:
    if not record.phase.is_busy:
        return _ignore(record, event)
    if record.verdict is not Verdict.NONE:
        return _conclude(record, now_ns)
    fault = event.fault
    if record.phase is Phase.PUBLISHING:
        # The work is done: running it again would not publish it.
        fault = msgspec.structs.replace(fault, details={**fault.details, FAILS_JOB: "true"})
    return _fail(_with(record, fault=fault), now_ns)


def _restored(record: ExecutionRecord, event: Restored, now_ns: int) -> Step:
    acts: tuple[Act, ...] = (Act.RESERVE,) if record.reserved else ()
    if record.phase is Phase.OFFERED:
        return Step(record, acts, "restored, bid still open")
    if record.phase in (Phase.STARTING, Phase.RUNNING) and event.alive:
        stop = () if record.verdict is Verdict.NONE else (Act.INTERRUPT,)
        record = _with(record, phase=Phase.RUNNING, runtime=record.runtime or event.runtime)
        return Step(record, (*acts, Act.WAIT, *stop), "restored, attached again")
    if record.verdict is not Verdict.NONE:
        return _after(acts, _conclude(record, now_ns))
    if record.phase is Phase.RUNNING:
        fault = Fault(
            message="Failing due to node restart",
            topic=Topic.EXECUTION,
            details={"IsError": "true", "Retryable": "true"},
        )
        return _after(acts, _fail(_with(record, fault=fault), now_ns))
    if record.phase is Phase.STARTING:
        # It never ran (the engine has nothing of it), so its inputs are brought again.
        record = _with(record, phase=Phase.FETCHING, inputs=[], notes=absence.link_notes(record))
    again = {Phase.NEW: Act.EVALUATE, Phase.FETCHING: Act.FETCH, Phase.PUBLISHING: Act.PUBLISH}
    return Step(record, (*acts, again[record.phase]), f"restored, {record.phase.value} again")


def _lost(record: ExecutionRecord, event: Lost, now_ns: int) -> Step:
    if record.phase not in (Phase.STARTING, Phase.RUNNING):
        return _ignore(record, event)
    noted = absence.lost(record, event.problem, now_ns, is_engine_off=event.is_engine_off)
    return _ignore(record, event) if noted is None else Step(noted, (), "its host does not answer")


def _returned(record: ExecutionRecord, event: Returned, now_ns: int) -> Step:
    noted = absence.returned(record, now_ns)
    return _ignore(record, event) if noted is None else Step(noted, (), "its host answers again")


_HANDLERS: dict[type[Any], Callable[[ExecutionRecord, Any, int], Step]] = {
    BidMade: _bid_made,
    BidRefused: _bid_refused,
    Accepted: _accepted,
    Rejected: _rejected,
    Cancel: _cancel,
    Overdue: _overdue,
    OfferExpired: _offer_expired,
    Fetched: _fetched,
    Started: _started,
    Ended: _ended,
    Published: _published,
    Unpublished: _unpublished,
    Faulted: _faulted,
    Restored: _restored,
    Lost: _lost,
    Returned: _returned,
}


def _with(record: ExecutionRecord, **changes: Any) -> ExecutionRecord:
    return msgspec.structs.replace(record, **changes)


def _ignore(record: ExecutionRecord, event: Event) -> Step:
    return Step(record, (), f"ignored {type(event).__name__} while {record.phase.value}")


def _after(acts: tuple[Act, ...], then: Step) -> Step:
    return replace(then, acts=(*acts, *then.acts))


def _begin(record: ExecutionRecord, now_ns: int, story: str) -> Step:
    """Go to work: fetch inputs, or start at once when there are none."""
    record = _with(record, accepted_ns=now_ns)
    job = record.execution.job
    if job is not None and job.task.input_sources:
        return Step(_with(record, phase=Phase.FETCHING), (Act.FETCH,), story)
    return Step(_with(record, phase=Phase.STARTING), (Act.START,), story)


def _judge(record: ExecutionRecord, verdict: Verdict, event: Event) -> Step:
    """Note what is to become of a busy execution and interrupt its activity; the first verdict stands.

    A cancellation still overrules a time-out: the report is no longer wanted.
    """
    if record.verdict is verdict or record.verdict is Verdict.CANCELLED:
        return _ignore(record, event)
    acts = () if record.verdict is not Verdict.NONE else (Act.INTERRUPT,)
    return Step(_with(record, verdict=verdict), acts, f"to be {verdict.value}")


def _conclude(record: ExecutionRecord, now_ns: int) -> Step:
    """The interrupted activity is over: carry out the verdict."""
    if record.verdict is Verdict.CANCELLED:
        return _terminal(record, Phase.CANCELLED, None, now_ns, "cancelled")
    error = TimedOut(
        f"Execution timed out after {record.timeout_s}s",
        hint="Increase the task timeout or allocate more resources",
        component="Executor",
        retryable=True,
        fails_execution=True,
        fails_job=record.phase is Phase.PUBLISHING,
    )
    return _fail(_with(record, fault=Fault.of(error, Topic.EXECUTION_TIMEOUT)), now_ns)


def _complete(record: ExecutionRecord, now_ns: int) -> Step:
    return _terminal(record, Phase.COMPLETED, Act.REPORT_RESULT, now_ns, "completed")


def _fail(record: ExecutionRecord, now_ns: int) -> Step:
    reason = record.fault.message if record.fault else ""
    return _terminal(record, Phase.FAILED, Act.REPORT_FAILURE, now_ns, f"failed: {reason}")


def _terminal(record: ExecutionRecord, phase: Phase, report: Act | None, now_ns: int, story: str) -> Step:
    # Capacity is given back before the report goes out: what the orchestrator sends next must find it free.
    acts: list[Act] = [Act.RELEASE] if record.reserved else []
    if report is not None:
        acts.append(report)
    acts.append(Act.CLEAN)
    record = _with(record, phase=phase, reserved=False, ended_ns=now_ns)
    return Step(record, tuple(acts), story)

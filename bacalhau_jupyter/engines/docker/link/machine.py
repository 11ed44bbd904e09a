"""When a way to a host is opened, checked, given up and opened again, and how its state is told. Pure.

::

    WAITING ── Due, Asked, Changed ──► OPENING ── Opened ──► OPEN
       ▲                                  │                    │
       └────────────── Failed ────────────┴────── Failed ──────┘

An event carries the number of the attempt that it speaks of; what an earlier attempt still says counts for nothing.
"""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, replace

from bacalhau_jupyter.engines.docker.link.fault import Fault, Part
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostStatus

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 20.0
REFUSED_DELAY_S = 600.0
"""Seconds after which a refused way is tried again without a person: more often, an ssh server may lock us out.

Who is let in and only may not use Docker yet is no such nuisance.
"""
STEADY_S = 10.0
"""Seconds after which a way that was open counts as a good one, so that its loss is answered at once."""


class Phase(enum.Enum):
    """What is done about a way now."""

    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class Record:
    """All that is known about a way.

    Attributes
    ----------
    attempt
        The number of the last attempt to open it.
    failures
        Attempts that have failed one after the other.
    opened_ns
        When it was opened, monotonic.
    """

    status: HostStatus
    phase: Phase = Phase.WAITING
    attempt: int = 0
    failures: int = 0
    opened_ns: int = 0


@dataclass(frozen=True)
class Now:
    """The time, both ways: by the wall, and monotonic."""

    wall_ns: int
    monotonic_ns: int


# Events.


@dataclass(frozen=True)
class Due:
    """The time to wait is over."""


@dataclass(frozen=True)
class Asked:
    """A person wants it to be tried now."""


@dataclass(frozen=True)
class Changed:
    """A file has changed that decides whether we are let in."""


@dataclass(frozen=True)
class Suspected:
    """A call has failed."""


@dataclass(frozen=True)
class Opened:
    """An attempt has succeeded; ``way`` says how calls get there, for people."""

    attempt: int
    way: str


@dataclass(frozen=True)
class Failed:
    """An attempt has failed, or what it opened has broken."""

    attempt: int
    fault: Fault


@dataclass(frozen=True)
class Ended:
    """It is not needed any more."""


Event = Due | Asked | Changed | Suspected | Opened | Failed | Ended


# Instructions.


@dataclass(frozen=True)
class Open:
    """Open it, and say how that went."""

    attempt: int


@dataclass(frozen=True)
class Check:
    """Make a call, and say if that fails."""

    attempt: int


@dataclass(frozen=True)
class Close:
    """Close what is open or being opened."""


@dataclass(frozen=True)
class Wait:
    """Wait that long; with ``watches``, at most until a file changes that decides whether we are let in."""

    delay_s: float
    watches: bool


Instruction = Open | Check | Close | Wait


def begin(now: Now) -> Record:
    """Return the record of a way that nobody has tried yet; the first event is `Due`."""
    return Record(HostStatus(HostState.CONNECTING, since_ns=now.wall_ns))


def step(record: Record, event: Event, now: Now) -> tuple[Record, tuple[Instruction, ...]]:
    """Return what an event makes of a way, and what is to be done."""
    if record.phase is Phase.CLOSED:
        return record, ()
    match event:
        case Ended():
            return replace(record, phase=Phase.CLOSED), (Close(),)
        case Due() | Asked() if record.phase is Phase.WAITING:
            return _opening(record)
        case Changed() if record.phase is Phase.WAITING and record.status.state is HostState.REFUSED:
            return _opening(record)
        case Suspected() if record.phase is Phase.OPEN:
            return record, (Check(record.attempt),)
        case Opened() if record.phase is Phase.OPENING and event.attempt == record.attempt:
            status = HostStatus(HostState.READY, since_ns=now.wall_ns, way=event.way)
            return replace(record, phase=Phase.OPEN, status=status, opened_ns=now.monotonic_ns), ()
        case Failed() if record.phase in (Phase.OPENING, Phase.OPEN) and event.attempt == record.attempt:
            return _failed(record, event.fault, now)
        case _:
            return record, ()


def _opening(record: Record) -> tuple[Record, tuple[Instruction, ...]]:
    attempt = record.attempt + 1
    return replace(record, phase=Phase.OPENING, attempt=attempt), (Open(attempt),)


def _failed(record: Record, fault: Fault, now: Now) -> tuple[Record, tuple[Instruction, ...]]:
    steady = record.phase is Phase.OPEN and now.monotonic_ns - record.opened_ns >= STEADY_S * SECOND
    failures = 0 if steady else record.failures
    status = _status(record.status, fault, now)
    locked_out = fault.state is HostState.REFUSED and fault.part is not Part.SOCKET
    if locked_out:
        delay_s = REFUSED_DELAY_S
    elif steady:
        delay_s = 0.0
    else:
        delay_s = min(FIRST_DELAY_S * 2 ** min(failures, 16), LONGEST_DELAY_S)
    waiting = replace(record, phase=Phase.WAITING, status=status, failures=failures + 1)
    return waiting, (Close(), Wait(delay_s, watches=locked_out))


def _status(before: HostStatus, fault: Fault, now: Now) -> HostStatus:
    """Return how a fault is told: since when it is so stays as long as the state does."""
    since_ns = before.since_ns if before.state is fault.state else now.wall_ns
    sentence = fault.sentence
    if fault.silent:
        sentence = f"{sentence} since {clock_time(since_ns, now.wall_ns)}"
    return HostStatus(fault.state, sentence, fault.hint, since_ns, is_engine_off=fault.is_engine_off)


def clock_time(time_ns: int, now_ns: int) -> str:
    """Return a time as this machine's clock shows it; with its day where that is not today."""
    then, today = (datetime.datetime.fromtimestamp(ns / SECOND).astimezone() for ns in (time_ns, now_ns))
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M}"

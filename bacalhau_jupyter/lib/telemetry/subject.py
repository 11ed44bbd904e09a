"""Which job and execution the log lines of a task are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from bacalhau_jupyter.lib.telemetry.trace import CURRENT


@dataclass(frozen=True)
class Subject:
    """What a line is about; empty where it is about none."""

    job: str = ""
    execution: str = ""


_SUBJECT: ContextVar[Subject | None] = ContextVar("bacalhau_jupyter_subject", default=None)


@contextmanager
def about(*, job: str = "", execution: str = "") -> Iterator[None]:
    """Let what is logged here, and in tasks and threads that are started here, name a job and an execution."""
    token = _SUBJECT.set(Subject(job, execution))
    try:
        yield
    finally:
        _SUBJECT.reset(token)


def fields() -> dict[str, str]:
    """Return what a log line of this moment names, as the official node calls it."""
    subject, link = _SUBJECT.get(), CURRENT.get()
    named = {}
    if subject is not None:
        named = {"JobID": subject.job, "ExecutionID": subject.execution}
    if link is not None:
        named |= {"trace_id": f"{link.trace_id:032x}", "span_id": f"{link.span_id:016x}"}
    return {name: value for name, value in named.items() if value}

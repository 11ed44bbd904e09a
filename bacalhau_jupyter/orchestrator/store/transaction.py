"""The one way to change jobs and executions: rows, history and messages together, and what the rest must hear."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.history import PRINCIPAL, Event, StreamEvent
from bacalhau_jupyter.models.records.outcome import ended_details, running_details
from bacalhau_jupyter.models.wire.messages import AskForBid
from bacalhau_jupyter.orchestrator.messages import message_of
from bacalhau_jupyter.orchestrator.store import executions, history, jobs, outbox
from bacalhau_jupyter.orchestrator.store.outbox import OutboxItem


@dataclass
class Changes:
    """What a committed transaction changed, for those who keep something in memory."""

    events: list[StreamEvent] = field(default_factory=list)
    messages: list[OutboxItem] = field(default_factory=list)
    held: list[tuple[str, str, Resources]] = field(default_factory=list)
    """Execution, node, what it holds from now on."""
    freed: list[tuple[str, str]] = field(default_factory=list)
    """Execution and node that holds nothing any more."""
    over: list[str] = field(default_factory=list)
    """Jobs that are over."""
    ended: list[Job] = field(default_factory=list)
    """The same, as they ended."""
    evaluate: list[tuple[str, int]] = field(default_factory=list)
    """Jobs to look at, with their priority."""


class Transaction:
    """Writes within one database transaction.

    Parameters
    ----------
    connection
        The database, inside a transaction.
    now_ns
        Time of everything written here, in Unix nanoseconds.
    principal
        Who wants it done; empty for what the node does by itself.
    """

    def __init__(self, connection: sqlite3.Connection, now_ns: int, principal: str = "") -> None:
        self.connection = connection
        self.now_ns = now_ns
        self.principal = principal
        self.changes = Changes()

    def evaluate(self, job: Job) -> None:
        """Ask for a look at the job after the commit."""
        self.changes.evaluate.append((job.id, job.priority))

    def take_evaluation(self, job_id: str) -> bool:
        """Whether a look at the job was asked for; who asks this looks at it himself."""
        asked = [each for each in self.changes.evaluate if each[0] == job_id]
        for each in asked:
            self.changes.evaluate.remove(each)
        return bool(asked)

    def event(
        self, topic: str, message: str, details: dict[str, str] | None = None, timestamp: str = ""
    ) -> Event:
        """Make an event that happened now."""
        return Event(
            message=message, topic=topic, timestamp=timestamp or rfc3339(self.now_ns), details=details or {}
        )

    def request(self, topic: str, message: str, details: dict[str, str] | None = None) -> Event:
        """Make the event of a request, which says who made it."""
        who = {PRINCIPAL: self.principal} if self.principal else {}
        return self.event(topic, message, {**(details or {}), **who})

    def record(self, job: Job, event: Event, execution: Execution | None = None) -> None:
        """Store a history row about a job or one of its executions."""
        self.changes.events.append(
            history.append(
                self.connection,
                job,
                event,
                self.now_ns,
                execution.id if execution else "",
                execution.node_id if execution else "",
            )
        )

    def add_job(self, job: Job) -> None:
        """Store a new job."""
        jobs.insert(self.connection, job, self.now_ns, self.principal)

    def add_version(self, old: Job, new: Job) -> None:
        """Store a job's next version."""
        jobs.replace_version(self.connection, old, new, self.now_ns, self.principal)

    def set_state(self, job: Job, state: JobState) -> Job:
        """Store a job's new state and return the job as it is now; its details say what people want to know."""
        known = self._details(job, state)
        state = replace(state, details={**state.details, **known})
        changed = replace(job, state=state, revision=job.revision + 1, modify_time=self.now_ns)
        jobs.update_state(self.connection, changed)
        if changed.is_terminal:
            self.changes.over.append(job.id)
            self.changes.ended.append(changed)
        return changed

    def _details(self, job: Job, state: JobState) -> dict[str, str]:
        if state.state_type is JobStateType.RUNNING:
            if job.state.state_type is JobStateType.RUNNING:
                # Only its message changes.
                return dict(job.state.details)
            return running_details(self.now_ns)
        if state.state_type.is_terminal:
            return ended_details(job, state, executions.of_job(self.connection, job.id, job.version))
        return {}

    def add_execution(self, execution: Execution, holds: Resources, events: Sequence[Event]) -> None:
        """Store a new execution (with its job inside) and the offer to its node."""
        executions.insert(self.connection, execution, holds)
        self.changes.held.append((execution.id, execution.node_id, holds))
        self._tell(None, execution, events)

    def change_execution(
        self, before: Execution, after: Execution, events: Sequence[Event] = (), reported: bool = False
    ) -> Execution:
        """Store a transition and the message it sends (none for what the node ``reported`` itself)."""
        after = replace(after, revision=before.revision + 1, modify_time=self.now_ns)
        executions.update(self.connection, after)
        if after.is_terminal and not before.is_terminal:
            self.changes.freed.append((after.id, after.node_id))
        if not reported:
            self._tell(before, after, events)
        return after

    def _tell(self, before: Execution | None, after: Execution, events: Sequence[Event]) -> None:
        message = message_of(before, after, events)
        if message is None:
            return
        if isinstance(message, AskForBid) and after.job is not None:
            message = AskForBid(events=message.events, execution=outbox.offered(after, after.job))
        self.changes.messages.append(
            outbox.append(self.connection, after.node_id, after.id, message, self.now_ns)
        )

"""A cluster without I/O: the real store, planner and reports on a database in memory, driven by hand."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace as with_changes

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint, SpecConfig, Timeouts
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType, RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import (
    BidResult,
    ComputeError,
    RunResult,
    ToCompute,
    ToOrchestrator,
)
from bacalhau_jupyter.orchestrator.planner import Outcome, Planner
from bacalhau_jupyter.orchestrator.reports import store_report
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import executions, jobs
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.orchestrator.store.transaction import Transaction
from bacalhau_jupyter.orchestrator.submitting import submission
from tests.clock import ManualClock
from tests.orchestrator.support import CORES, node_info, noop_job

LIVE = (ExecutionStateType.NEW, ExecutionStateType.ASK_FOR_BID_ACCEPTED, ExecutionStateType.BID_ACCEPTED)


class World:
    """Jobs, executions and nodes; every method is one transaction."""

    def __init__(self, nodes: int = 2, capacity: Resources = CORES, **settings: object) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript("".join(str(step) for step in MIGRATIONS))
        self.clock = ManualClock()
        self.settings = OrchestratorSettings(**settings)  # type: ignore[arg-type]
        numbers = itertools.count(1)
        self.ids = lambda: f"{next(numbers):08d}"
        self.planner = Planner(self.settings, self.ids, seed=lambda: 1.0)
        self.nodes = {f"n-{i}": NodeView(node_info(f"n-{i}", capacity)) for i in range(1, nodes + 1)}
        self.sent: list[ToCompute] = []

    def transaction(self, principal: str = "") -> Transaction:
        return Transaction(self.connection, self.clock.now_ns(), principal)

    def _done(self, transaction: Transaction) -> None:
        self.sent += [item.message for item in transaction.changes.messages]

    def submit(
        self,
        name: str = "",
        count: int = 1,
        cpu: str = "500m",
        force: bool = True,
        zone: str = "",
        publisher: SpecConfig | None = None,
        *,
        node: str = "",
        host: str = "",
        namespace: str = "",
        kind: str = "batch",
        gpu: str = "",
        engine: str = "noop",
        principal: str = "",
        **limits: int,
    ) -> Job:
        constraints = [Constraint(key="zone", operator="=", values=[zone])] if zone else []
        constraints += [Constraint(key="name", operator="=", values=[node])] if node else []
        constraints += [Constraint(key="host", operator="=", values=[host])] if host else []
        job = noop_job(
            name,
            type=kind,
            count=count if kind in ("batch", "service") else None,
            cpu=cpu,
            gpu=gpu,
            engine=engine,
            timeouts=Timeouts(**limits),
            constraints=constraints,
            publisher=publisher or SpecConfig(),
            namespace=namespace,
        )
        prepared, _ = submission.prepare(job, self.settings, None, self.ids)
        transaction = self.transaction(principal)
        stored = submission.submit(transaction, prepared, force)
        self._done(transaction)
        return stored

    def stop(self, job_id: str) -> None:
        transaction = self.transaction()
        submission.stop(transaction, job_id, "", "enough")
        self._done(transaction)

    def evaluate(self, job_id: str) -> Outcome:
        transaction = self.transaction()
        outcome = self.planner.evaluate(transaction, job_id, list(self.nodes.values()))
        self._done(transaction)
        return outcome

    def settle(self, job_id: str) -> Outcome:
        """Evaluate until there is nothing more to do at once."""
        while (outcome := self.evaluate(job_id)).again:
            pass
        return outcome

    def report(self, execution: Execution, message: ToOrchestrator) -> None:
        transaction = self.transaction()
        store_report(transaction, execution.node_id, message)
        self._done(transaction)

    def bid(self, execution: Execution, reason: str = "") -> None:
        events = [Event(message=f"rejected bid: {reason}", topic="Exec Scanning")] if reason else None
        self.report(
            execution,
            BidResult(execution_id=execution.id, job_id=execution.job_id, events=events, accepted=not reason),
        )

    def complete(self, execution: Execution, exit_code: int = 0) -> None:
        result = RunCommandResult(stdout="hi\n", exit_code=exit_code)
        self.report(
            execution,
            RunResult(execution_id=execution.id, job_id=execution.job_id, run_command_result=result),
        )

    def fail(
        self,
        execution: Execution,
        reason: str = "boom",
        details: dict[str, str] | None = None,
        kept: SpecConfig | None = None,
    ) -> None:
        event_details = {"IsError": "true", **(details or {})}
        events = [Event(message=reason, topic="Running Execution", details=event_details)]
        output = None if kept is None else RunCommandResult(stdout="hi\n")
        self.report(
            execution,
            ComputeError(
                execution_id=execution.id,
                job_id=execution.job_id,
                events=events,
                publish_result=kept,
                run_command_result=output,
            ),
        )

    def join(self, node_id: str, **labels: str) -> None:
        self.nodes[node_id] = NodeView(node_info(node_id, CORES, **labels))

    def node(self, node_id: str, **changes: object) -> None:
        self.nodes[node_id] = with_changes(self.nodes[node_id], **changes)  # type: ignore[arg-type]

    def job(self, job_id: str) -> Job:
        job = jobs.get(self.connection, job_id)
        assert job is not None
        return job

    def executions(self, job_id: str) -> list[Execution]:
        return executions.of_job(self.connection, job_id)

    def live(self, job_id: str = "") -> list[Execution]:
        rows = self.connection.execute("SELECT id FROM executions WHERE live ORDER BY rowid").fetchall()
        stored = [executions.get(self.connection, row[0]) for row in rows]
        return [e for e in stored if e is not None and job_id in ("", e.job_id)]

    def messages(self, job_id: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT json_extract(event, '$.Message') FROM history WHERE job_id=? ORDER BY seq", (job_id,)
        )
        return [str(row[0]) for row in rows]

"""How jobs, executions, history and nodes look as tables."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.grammar.output import Details, Table
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.history import LEFT_OUT, JobHistory
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import NodeState

_SECOND_LENGTH = len("2026-01-01T00:00:00")


def _when(ns: int) -> str:
    return rfc3339(ns)[:_SECOND_LENGTH].replace("T", " ") if ns else ""


def _state(name: str) -> str:
    return name.replace("_", " ").title().replace(" ", "")


def jobs_table(jobs: Sequence[Job], *, wide: bool = False) -> Table:
    """List jobs."""
    rows = [
        (
            _when(job.create_time),
            job.id if wide else short_id(job.id),
            job.name if wide else short_id(job.name),
            job.tasks[0].engine.type if job.tasks else "",
            job.type,
            job.state.state_type.value,
        )
        for job in jobs
    ]
    return Table(("created", "id", "name", "engine", "type", "state"), rows, list(jobs))


def executions_table(executions: Sequence[Execution], *, wide: bool = False) -> Table:
    """List executions."""
    rows = [
        (
            _when(item.create_time),
            _when(item.modify_time),
            item.id if wide else short_id(item.id),
            item.node_id if wide else short_id(item.node_id),
            item.partition_index,
            item.revision,
            _state(item.compute_state.state_type.name),
            _state(item.desired_state.state_type.name),
            "" if item.run_output is None or not item.is_terminal else item.run_output.exit_code,
            item.compute_state.message,
        )
        for item in executions
    ]
    columns = (
        "created",
        "modified",
        "id",
        "node id",
        "part",
        "rev.",
        "compute state",
        "desired state",
        "exit",
        "comment",
    )
    return Table(columns, rows, list(executions))


def history_table(rows: Sequence[JobHistory], *, wide: bool = False) -> Table:
    """List what happened to a job."""
    lines = []
    for row in rows:
        text = row.event.message
        if row.event.details.get("IsError") == "true":
            text = f"Error: {text}"
        hint = row.event.details.get("Hint")
        lines.append(
            (
                row.time[:_SECOND_LENGTH].replace("T", " "),
                row.execution_id if wide else short_id(row.execution_id),
                row.event.topic,
                f"{text} (Hint: {hint})" if hint else text,
            )
        )
    return Table(("time", "exec. id", "topic", "event"), lines, list(rows))


def nodes_table(nodes: Sequence[NodeState], *, wide: bool = False) -> Table:
    """List nodes."""
    rows = []
    for node in nodes:
        info = node.info.compute_node_info
        free, most = info.available_capacity, info.max_capacity
        rows.append(
            (
                node.info.node_id if wide else short_id(node.info.node_id),
                node.info.node_type.value,
                node.membership.value,
                node.connection.value,
                ", ".join(info.execution_engines or []),
                f"{free.cpu:g} / {most.cpu:g}",
                f"{free.memory / 1e9:.1f} / {most.memory / 1e9:.1f} GB",
                f"{free.disk / 1e9:.1f} / {most.disk / 1e9:.1f} GB",
                f"{free.gpu} / {most.gpu}",
            )
        )
    columns = ("id", "type", "approval", "status", "engines", "cpu", "memory", "disk", "gpu")
    return Table(columns, rows, list(nodes))


def job_record(job: Job, executions: Sequence[Execution], history: Sequence[JobHistory]) -> Details:
    """Describe a job."""
    counts: dict[str, int] = {}
    for item in executions:
        name = _state(item.compute_state.state_type.name)
        counts[name] = counts.get(name, 0) + 1
    summary = {
        "ID": job.id,
        "Name": job.name,
        "Namespace": job.namespace,
        "Type": job.type,
        "State": job.state.state_type.value,
        "Message": job.state.message,
        "Count": job.count,
        "Version": job.version,
        "Created Time": _when(job.create_time),
        "Modified Time": _when(job.modify_time),
    }
    sections: list[tuple[str, Table | dict[str, object] | str]] = [
        ("", {key: value for key, value in summary.items() if value not in ("", None)}),
        ("Summary", dict(counts)),
        ("Job History", history_table(history)),
        ("Executions", executions_table(executions)),
    ]
    sections += [
        (f"Execution {short_id(item.id)} Left Out", item.compute_state.details[LEFT_OUT])
        for item in executions
        if item.compute_state.details.get(LEFT_OUT)
    ]
    sections += [
        (f"Execution {short_id(item.id)} Logs", item.run_output.stdout + item.run_output.stderr)
        for item in executions
        if item.run_output is not None and (item.run_output.stdout or item.run_output.stderr)
    ]
    record = {"Job": job, "Executions": {"Items": list(executions)}, "History": {"Items": list(history)}}
    return Details(record, sections)

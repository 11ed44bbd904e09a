"""How jobs, executions, history and nodes look as tables."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from bacalhau_jupyter.client.jobs.titles import shown_title
from bacalhau_jupyter.grammar.links import LINK_WORDS
from bacalhau_jupyter.grammar.output import Details, Table
from bacalhau_jupyter.grammar.shown import code_of, inputs_of
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.masking import masked_variables
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import HINT
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.ports import LOOPBACK, port_text, port_url
from bacalhau_jupyter.models.records.displays import without_displays
from bacalhau_jupyter.models.records.execution import RUNTIME, Execution, with_runtime
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.history import LEFT_OUT, PRINCIPAL, JobHistory
from bacalhau_jupyter.models.records.outcome import ERROR, Outcome, recorded_exit_code
from bacalhau_jupyter.models.records.quotas import OWNER_NAME

_SECOND_LENGTH = len("2026-01-01T00:00:00")


def _when(ns: int) -> str:
    return rfc3339(ns)[:_SECOND_LENGTH].replace("T", " ") if ns else ""


def state_name(name: str) -> str:
    """Return the name of an execution's state as it is shown."""
    return name.replace("_", " ").title().replace(" ", "")


def state_words(job: Job) -> str:
    """Return how a job stands: a program that failed, which the official state calls "Completed", by its exit code."""
    exit_code = recorded_exit_code(job.state)
    return f"✕ exit {exit_code}" if exit_code else job.state.state_type.value


def jobs_table(jobs: Sequence[Job], *, wide: bool = False) -> Table:
    """List jobs."""
    rows = [
        (
            _when(job.create_time),
            job.id if wide else short_id(job.id),
            shown_title(job),
            job.tasks[0].engine.type if job.tasks else "",
            job.type,
            state_words(job),
        )
        for job in jobs
    ]
    return Table(("created", "id", "name", "job", "type", "state"), rows, list(jobs))


def versions_table(versions: Sequence[Job]) -> Table:
    """List the versions of a job; one that was not over when the next one came was replaced by it."""
    latest = max((job.version for job in versions), default=0)
    rows = [
        (
            _when(job.modify_time),
            job.version,
            state_words(job) if job.is_terminal or job.version == latest else "Replaced",
        )
        for job in versions
    ]
    return Table(("created at", "job version", "state"), rows, list(versions))


def executions_table(executions: Sequence[Execution], *, wide: bool = False) -> Table:
    """List executions: the official columns, then ours."""
    rows = [
        (
            _when(item.create_time),
            _when(item.modify_time),
            item.id if wide else short_id(item.id),
            item.job_version,
            item.node_id if wide else short_id(item.node_id),
            item.revision,
            state_name(item.compute_state.state_type.name),
            state_name(item.desired_state.state_type.name),
            item.partition_index,
            "" if item.run_output is None or not item.is_terminal else item.run_output.code,
            item.compute_state.message,
        )
        for item in executions
    ]
    official = ("created", "modified", "id", "job version", "node id", "rev.", "state", "desired")
    return Table((*official, "part", "exit", "comment"), rows, list(executions))


_ENDED = "Completed successfully"
"""What the event says with which an execution ends well: there its runtime is named."""

_HISTORY = ("time", "level", "job version", "exec. id", "topic", "event")


def history_table(rows: Sequence[JobHistory], *, wide: bool = False, brief: bool = False) -> Table:
    """List what happened to a job; a brief list leaves out what is the same in each row."""
    lines = []
    several = any(_actor(row) not in ("", OWNER_NAME) for row in rows)
    for row in rows:
        text = row.event.message
        # Who was alone with his node knows who did it.
        if several and _actor(row):
            text = f"{text} (by {_actor(row)})"
        if row.event.details.get("IsError") == "true":
            text = f"Error: {text}"
        elif text == _ENDED and (runtime := row.event.details.get(RUNTIME)):
            text = f"{text} ({runtime})"
        hint = row.event.details.get(HINT)
        line = (
            row.time[:_SECOND_LENGTH].replace("T", " "),
            row.type.value,
            row.job_version,
            row.execution_id if wide else short_id(row.execution_id),
            row.event.topic,
            f"{text} (Hint: {hint})" if hint else text,
        )
        lines.append((line[0], *line[4:]) if brief else line)
    return Table((_HISTORY[0], *_HISTORY[4:]) if brief else _HISTORY, lines, list(rows))


def _actor(row: JobHistory) -> str:
    """Return who caused an event of the job; what a node reports of its executions names nobody."""
    return "" if row.execution_id else row.event.details.get(PRINCIPAL, "")


def explanation_record(explanation: Explanation, *, wide: bool = False) -> Details:
    """Say why a job waits or ran where it did, node by node."""
    named = explanation.name not in ("", explanation.job_id)
    job_id = explanation.job_id if wide else short_id(explanation.job_id)
    head = {
        "Job": f"{job_id} ({explanation.name})" if named else job_id,
        "State": _explained_state(explanation),
        "Why" if explanation.outcome is Outcome.WAITING else "How": explanation.summary,
    }
    # Where all nodes are alike, their kind explains nothing.
    is_mixed = wide or len({(node.software, node.link) for node in explanation.nodes}) > 1
    rows = [
        (
            node.rank or "",
            node.node_id if wide else short_id(node.node_id),
            *((node.software, LINK_WORDS.get(node.link, node.link)) if is_mixed else ()),
            node.verdict.value,
            node.reason,
        )
        for node in explanation.nodes
    ]
    sections: list[tuple[str, Table | dict[str, object] | str]] = [("", dict(head))]
    if rows:
        # Only a job that is about to be placed asks its nodes in an order.
        first = 0 if any(node.rank for node in explanation.nodes) else 1
        columns = ("rank", "node", *(("runs", "link") if is_mixed else ()), "verdict", "reason")[first:]
        sections.append(("Nodes", Table(columns, [row[first:] for row in rows], list(explanation.nodes))))
    if explanation.remedies:
        lines = [f"• {remedy.text}" for remedy in explanation.remedies]
        sections.append(("What would make it run", "\n".join(lines)))
    return Details(explanation, sections)


def _explained_state(explanation: Explanation) -> str:
    """Return the state, in the words of the sentence below it: a program that failed did not "complete" for people."""
    is_failure = explanation.outcome is Outcome.FAILED
    return "Failed" if is_failure else explanation.state


def job_record(
    job: Job, executions: Sequence[Execution], history: Sequence[JobHistory], url: str = ""
) -> Details:
    """Describe a job of the cluster at ``url``."""
    counts: dict[str, int] = {}
    for item in executions:
        name = state_name(item.compute_state.state_type.name)
        counts[name] = counts.get(name, 0) + 1
    summary = {
        "ID": job.id,
        "Name": job.name,
        "Namespace": job.namespace,
        "Type": job.type,
        "State": state_words(job),
        "Official State": job.state.state_type.value if recorded_exit_code(job.state) else "",
        "Message": job.state.message or job.state.details.get(ERROR, ""),
        "Runtime": _runtimes(job, executions),
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
    if ports := _ports(executions, urlsplit(url).hostname or LOOPBACK):
        sections.append(("Ports", ports))
    sections += _spec_sections(job)
    sections += [
        (f"Execution {short_id(item.id)} Left Out", item.compute_state.details[LEFT_OUT])
        for item in executions
        if item.compute_state.details.get(LEFT_OUT)
    ]
    sections += [
        (
            f"Execution {short_id(item.id)} Logs",
            without_displays(item.run_output.stdout) + item.run_output.stderr,
        )
        for item in executions
        if item.run_output is not None and (item.run_output.stdout or item.run_output.stderr)
    ]
    record = {"Job": job, "Executions": {"Items": list(executions)}, "History": {"Items": list(history)}}
    return Details(record, sections)


def _runtimes(job: Job, executions: Sequence[Execution]) -> str:
    """Return what ran a job, each once; empty where no node said."""
    named = dict.fromkeys(item.runtime for item in executions if item.runtime)
    return ", ".join(with_runtime(job.task.engine.type, name) for name in named) if job.tasks else ""


def _ports(executions: Sequence[Execution], host: str) -> str:
    """Return a line for each port of what runs, with a link where it seems to speak HTTP."""
    return "\n".join(
        "  ".join(filter(None, (short_id(item.id), port_text(port), port_url(port, host))))
        for item in executions
        if not item.is_terminal
        for port in item.ports
    )


def _spec_sections(job: Job) -> list[tuple[str, Table | dict[str, object] | str]]:
    """Return what the job was asked to do: its code, inputs and variables."""
    plain = to_plain(job)
    sections: list[tuple[str, Table | dict[str, object] | str]] = []
    if inputs := inputs_of(plain):
        sections.append(("Inputs", Table(("name", "target", "type"), inputs)))
    sections.extend(("Environment", dict(masked_variables(task.env))) for task in job.tasks if task.env)
    if code := code_of(plain):
        sections.append(("Code", code))
    return sections

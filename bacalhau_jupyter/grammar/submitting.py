"""What happens to a job once it is described: it is submitted, and waited for as the flags say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.grammar.output import Details, Table, Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.grammar.specs import described
from bacalhau_jupyter.grammar.views import history_table, state_name
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import Job as JobModel


@dataclass(frozen=True)
class Waiting:
    """Values of ``wait_options`` and ``progress_options``.

    Attributes
    ----------
    limit_s
        Longest time to wait; 0 means no limit, None that of the front end.
    """

    wait: bool = True
    follow: bool = False
    id_only: bool = False
    dry_run: bool = False
    exact: bool = False
    check: bool | None = None
    limit_s: int | None = None
    node_details: bool = False
    group_events: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Waiting:
        """Take the values among those of a verb."""
        names = ("wait", "follow", "id_only", "dry_run", "exact", "check", "node_details", "group_events")
        return cls(
            limit_s=values.get("wait_timeout_secs"),
            **{name: values[name] for name in names if name in values},
        )


def submit(job: JobModel, waiting: Waiting, *, force: bool = False, hide_warnings: bool = False) -> Any:
    """Submit a job and do what the flags say."""
    if waiting.dry_run:
        return described(job, exact=waiting.exact)
    handle = current().submit(
        client(), job, force=force, on_interrupt=None, hide_warnings=hide_warnings or waiting.id_only
    )
    return wait_for(handle, waiting)


def wait_for(handle: Job, waiting: Waiting) -> Any:
    """Do with a submitted job what the flags say."""
    from bacalhau_jupyter.grammar.jobs.limited import LimitedJob

    limit_s = waiting.limit_s
    if limit_s is None:
        # As officially, output is followed to its end.
        limit_s = 0 if waiting.follow else current().usual_wait_s
    watched = LimitedJob(handle, limit_s) if limit_s else handle
    if waiting.id_only:
        # As the official verb: the ID at once, then nothing until the job is over.
        click.echo(handle.id)
        if waiting.wait:
            watched.until_settled(check=bool(waiting.check))
        return None
    if not (waiting.wait or waiting.follow):
        program = click.get_current_context().find_root().info_name
        return Text(f"Job {handle.id} submitted. Follow it with: {program} attach {handle.short_id}")
    try:
        return current().follow(watched, logs=waiting.follow, check=bool(waiting.check))
    finally:
        if waiting.node_details:
            click.echo(f"Results by node\n{_results(handle).text()}")
        if waiting.group_events:
            click.echo(_events(handle).text())


def _results(handle: Job) -> Table:
    """Say how each execution ended, and where."""
    rows = [
        (
            item.node_id,
            short_id(item.id),
            state_name(item.compute_state.state_type.name),
            "" if item.run_output is None else item.run_output.code,
            item.compute_state.message,
        )
        for item in handle.executions()
    ]
    return Table(("node", "execution", "state", "exit", "message"), rows)


def _events(handle: Job) -> Details:
    """Return the events of the job, then those of each execution."""
    history = handle.history()
    groups = dict.fromkeys(row.execution_id for row in history)
    sections = [
        (
            f"Execution {short_id(execution)}" if execution else "Job",
            history_table([row for row in history if row.execution_id == execution], brief=True),
        )
        for execution in sorted(groups, key=bool)
    ]
    return Details(history, sections)

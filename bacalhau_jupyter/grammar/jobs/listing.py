"""``job list|describe|executions|history|versions|diff``: what there is to know about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.options import template_options, templated
from bacalhau_jupyter.grammar.flags.printing import (
    list_options,
    namespace_option,
    print_options,
    version_option,
)
from bacalhau_jupyter.grammar.jobs.group import job
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.grammar.shown import diff_for_people
from bacalhau_jupyter.grammar.specs import read_file_or_stdin, read_spec
from bacalhau_jupyter.grammar.views import (
    executions_table,
    history_table,
    job_record,
    jobs_table,
    versions_table,
)


@job.command("list")
@click.option("--labels", multiple=True, metavar="SELECTOR", help="Only jobs whose labels match.")
@list_options(limit=10, orders=("id", "created_at"), order_by="created_at", newest_first=True)
@print_options
def job_list(
    labels: Sequence[str], limit: int, next_token: str, order_by: str, order_reversed: bool, **show: Any
) -> Result:
    """List jobs."""
    connected = client()
    if order_by == "id" and not connected.info.features:
        # An official node fails when it is asked for an order that its own client names.
        order_by = ""
    page = connected.call(
        lambda api: api.list_jobs(
            labels=labels,
            limit=limit,
            next_token=next_token,
            order_by=order_by,
            reverse=order_reversed,
        )
    )
    table = jobs_table(page.items, wide=show["wide"])
    if page.next_token:
        # For scripts the exact continuation; a person has no use for 120 characters.
        continued = (
            f"--next-token {page.next_token}"
            if show["wide"]
            else f"--limit {limit * 5}, or --limit 0 for all"
        )
        table.note = f"more: {continued}"
    return table


@job.command("describe")
@click.argument("job_id", shell_complete=completing.jobs)
@version_option
@namespace_option
@print_options
def job_describe(job_id: str, version: int, namespace: str, **show: Any) -> Result:
    """Show everything about a job."""
    connected = client()
    answer = connected.call(
        lambda api: api.get_job(job_id, namespace=namespace, include="executions,history", version=version)
    )
    executions = answer.executions.items if answer.executions else []
    history = answer.history.items if answer.history else []
    return job_record(answer.job, executions, history, connected.endpoint.url)


@job.command("executions")
@click.argument("job_id", shell_complete=completing.jobs)
@version_option
@click.option("--all-versions", is_flag=True, help="Also executions of other versions.")
@list_options(limit=20, orders=("modified_at", "created_at"))
@namespace_option
@print_options
def job_executions(job_id: str, order_by: str | None, order_reversed: bool, **values: Any) -> Result:
    """List a job's executions."""
    filters = {key: values[key] for key in ("version", "all_versions", "limit", "next_token", "namespace")}
    page = client().call(
        lambda api: api.executions(job_id, order_by=order_by or "", reverse=order_reversed, **filters)
    )
    return executions_table(page.items, wide=values["wide"])


@job.command("history")
@click.argument("job_id", shell_complete=completing.jobs)
@click.option(
    "--event-type",
    type=click.Choice(["all", "job", "execution"]),
    default="all",
    help="Kind of events to show.",
)
@click.option("--execution-id", default="", help="Only events of one execution.")
@version_option
@click.option("--all-versions", is_flag=True, help="Also events of other versions.")
@list_options(limit=0)
@namespace_option
@print_options
def job_history(job_id: str, limit: int, order_by: str | None, order_reversed: bool, **values: Any) -> Result:
    """List what happened to a job."""
    # Events have one order only, also at an official node.
    del order_by
    filters = {
        key: values[key]
        for key in ("event_type", "execution_id", "version", "all_versions", "next_token", "namespace")
    }
    rows = client().call(lambda api: api.full_history(job_id, limit=limit, **filters))
    return history_table(rows[::-1] if order_reversed else rows, wide=values["wide"])


@job.command("versions")
@click.argument("job_id", shell_complete=completing.jobs)
@namespace_option
@print_options
def job_versions(job_id: str, namespace: str, **show: Any) -> Result:
    """List the versions of a job, oldest first."""
    page = client().call(lambda api: api.versions(job_id, namespace=namespace))
    return versions_table(page.items)


@job.command("diff")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@template_options
def job_diff(file: str, **values: Any) -> Result:
    """Show what the job spec in FILE would change (the same as job run --dry-run)."""
    what, text = read_file_or_stdin(file)
    return changes(read_spec(templated(text, values, what), what))


def changes(model: Any) -> Result:
    """Return what a spec would change in the stored job of its name."""
    answer = client().call(lambda api: api.diff(model))
    return Text(diff_for_people(answer.diff) or "no changes")

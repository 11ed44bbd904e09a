"""``job run|validate|rerun|stop|delete`` and ``attach``: what changes jobs, and what waits for them."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any

import click

from bacalhau_jupyter.client.connection.abilities import DELETE, require
from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.options import template_options, templated
from bacalhau_jupyter.grammar.flags.printing import namespace_option, version_option
from bacalhau_jupyter.grammar.flags.waiting import progress_options, wait_options
from bacalhau_jupyter.grammar.jobs.group import job
from bacalhau_jupyter.grammar.jobs.listing import changes
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, client, job_or_last
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.grammar.specs import described, read_file_or_stdin, read_spec
from bacalhau_jupyter.grammar.submitting import Waiting, submit, wait_for
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotFound
from bacalhau_jupyter.models.jobs.job import Job as JobModel


@job.command("run")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option("--force", is_flag=True, help="Submit even an unchanged spec.")
@click.option("--hide-warnings", is_flag=True, help="Leave out the cluster's warnings.")
@template_options
@wait_options
@progress_options
def job_run(file: str, force: bool, hide_warnings: bool, **values: Any) -> Any:
    """Submit the job spec in FILE (YAML or JSON; without it, or with -, that of standard input)."""
    what, text = read_file_or_stdin(file)
    waiting = Waiting.of(values)
    model = read_spec(templated(text, values, what), what)
    if waiting.dry_run:
        return _changed(model, exact=waiting.exact)
    return submit(model, waiting, force=force, hide_warnings=hide_warnings)


def _changed(model: JobModel, *, exact: bool) -> Result:
    """Say what a submission would change; of a new job, or without a cluster, show the spec, as officially."""
    if model.name:
        try:
            return changes(model)
        except NotFound:
            click.echo(f"Note: there is no job {model.name!r} yet; this one would be submitted.", err=True)
        except NetworkFailure as error:
            click.echo(f"Note: nothing was compared: {error.message}", err=True)
    return described(model, exact=exact)


@job.command("validate")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
def job_validate(file: str) -> Result:
    """Check a job spec without submitting it."""
    from bacalhau_jupyter.models.jobs.normalize import normalize_job
    from bacalhau_jupyter.models.jobs.validate import validate_submission

    what, text = read_file_or_stdin(file)
    validate_submission(normalize_job(read_spec(text, what)))
    return Text(f"{what} is a valid job spec")


@job.command("stop")
@click.argument("job_id", shell_complete=completing.jobs)
@click.option("--quiet", is_flag=True, help="Print nothing.")
@namespace_option
def job_stop(job_id: str, quiet: bool, namespace: str) -> Result | None:
    """Stop a job and wait until it has stopped."""
    handle = client().job(job_id, namespace=namespace)
    state = handle.state
    if state.is_terminal:
        raise BacalhauError(f"job {handle.short_id} is over already ({state.value})", component="Job")
    handle.stop()
    return None if quiet else Text(f"Job {handle.id} stopped.")


@job.command("rerun")
@click.argument("job_id", shell_complete=completing.jobs)
@version_option
@namespace_option
@wait_options
@progress_options
def job_rerun(job_id: str, version: int, namespace: str, **values: Any) -> Any:
    """Run a job again as its next version."""
    from bacalhau_jupyter.client.jobs.job import Job

    waiting = Waiting.of(values)
    connected = client()
    if waiting.dry_run:
        return described(connected.call(partial(_stored, job_id, namespace, version)), exact=waiting.exact)
    again = connected.call(lambda api: api.rerun(job_id, version=version, namespace=namespace))
    if not waiting.id_only:
        click.echo(f"Job {again.job_id} runs again as version {again.job_version}.", err=True)
    return wait_for(Job(connected, again.job_id), waiting)


async def _stored(job_id: str, namespace: str, version: int, api: AsyncAPI) -> JobModel:
    return (await api.get_job(job_id, namespace=namespace, version=version)).job


@job.command("delete")
@click.argument("job_ids", nargs=-1, required=True, shell_complete=completing.jobs)
@namespace_option
def job_delete(job_ids: tuple[str, ...], namespace: str) -> Result:
    """Delete jobs that are over, with the results that the node keeps."""
    require(client().info, DELETE)
    for job_id in job_ids:
        client().call(partial(_delete, job_id, namespace))
    return Text("\n".join(f"Job {job_id} is deleted." for job_id in job_ids))


def _delete(job_id: str, namespace: str, api: AsyncAPI) -> Awaitable[object]:
    return api.delete(job_id, namespace=namespace)


@bacalhau.command()
@click.argument("job_id", required=False, shell_complete=completing.jobs)
@click.option("--check/--no-check", default=True, help="Fail on a non-zero exit code.")
def attach(job_id: str | None, check: bool) -> Any:
    """Show the state and output of a job until it ends; Ctrl-C leaves the job running.

    Without JOB_ID: the last job that was submitted from here (a notebook, else a directory).
    """
    connected = client()
    handle = connected.job(job_or_last(connected, job_id, "attach"))
    return current().follow(handle, logs=True, check=check, on_interrupt="detach")

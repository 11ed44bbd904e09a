"""``job …`` and ``attach``: submit, inspect, fetch and stop jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bacalhau_jupyter.client.results.sources import NO_DOWNLOADER, NoDownloader
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.keys import KEYS
from bacalhau_jupyter.config.parsing import parse_value
from bacalhau_jupyter.grammar.options import namespace_option, print_options, wait_options
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.grammar.specs import read_file, read_spec, read_stdin, submit
from bacalhau_jupyter.grammar.views import executions_table, history_table, job_record, jobs_table
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest


@bacalhau.group()
def job() -> None:
    """Submit, look at and stop jobs."""


@job.command("run")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--force", is_flag=True, help="Submit even an unchanged spec.")
@wait_options
def job_run(file: str, force: bool, **flags: Any) -> Any:
    """Submit the job spec in FILE (YAML or JSON, - for standard input)."""
    text = read_stdin("the job spec") if file == "-" else read_file(file)
    model = read_spec(text, "the job spec" if file == "-" else file)
    if flags["dry_run"]:
        answer = client().call(lambda api: api.diff(model))
        return Text(answer.diff or "no changes")
    return submit(model, force=force, **flags)


@job.command("validate")
@click.argument("file", type=click.Path(dir_okay=False))
def job_validate(file: str) -> Result:
    """Check a job spec without submitting it."""
    from bacalhau_jupyter.models.normalize import normalize_job
    from bacalhau_jupyter.models.validate import validate_submission

    model = read_spec(read_file(file), file)
    validate_submission(normalize_job(model))
    return Text(f"{file} is a valid job spec")


@job.command("list")
@click.option("--labels", multiple=True, metavar="SELECTOR", help="Only jobs whose labels match.")
@click.option("--limit", default=10, help="How many.")
@click.option("--next-token", default="", help="Continue after an earlier page.")
@click.option("--order-by", type=click.Choice(["id", "created_at"]), default="created_at", help="Order.")
@click.option("--order-reversed/--order-forward", default=True, help="Newest first.")
@print_options
def job_list(
    labels: Sequence[str], limit: int, next_token: str, order_by: str, order_reversed: bool, **show: Any
) -> Result:
    """List jobs."""
    order = "" if order_by == "id" else order_by
    page = client().call(
        lambda api: api.list_jobs(
            labels=labels, limit=limit, next_token=next_token, order_by=order, reverse=order_reversed
        )
    )
    table = jobs_table(page.items, wide=show["wide"])
    table.note = f"more: --next-token {page.next_token}" if page.next_token else ""
    return table


@job.command("describe")
@click.argument("job_id")
@namespace_option
@print_options
def job_describe(job_id: str, namespace: str, **show: Any) -> Result:
    """Show everything about a job."""
    answer = client().call(lambda api: api.get_job(job_id, namespace=namespace, include="executions,history"))
    executions = answer.executions.items if answer.executions else []
    history = answer.history.items if answer.history else []
    return job_record(answer.job, executions, history)


@job.command("executions")
@click.argument("job_id")
@click.option("--all-versions", is_flag=True, help="Executions of earlier versions, too.")
@click.option("--limit", default=20, help="How many.")
@namespace_option
@print_options
def job_executions(job_id: str, all_versions: bool, limit: int, namespace: str, **show: Any) -> Result:
    """List a job's executions."""
    page = client().call(
        lambda api: api.executions(job_id, namespace=namespace, all_versions=all_versions, limit=limit)
    )
    return executions_table(page.items, wide=show["wide"])


@job.command("history")
@click.argument("job_id")
@click.option(
    "--event-type", type=click.Choice(["all", "job", "execution"]), default="all", help="Which rows."
)
@click.option("--execution-id", default="", help="Rows of one execution.")
@click.option("--all-versions", is_flag=True, help="Rows of earlier versions, too.")
@click.option("--limit", default=0, help="How many.")
@namespace_option
@print_options
def job_history(job_id: str, limit: int, **values: Any) -> Result:
    """List what happened to a job."""
    filters = {key: values[key] for key in ("event_type", "execution_id", "all_versions", "namespace")}
    rows = client().call(lambda api: api.full_history(job_id, limit=limit, **filters))
    return history_table(rows, wide=values["wide"])


@job.command("logs")
@click.argument("job_id")
@click.option("-f", "--follow", is_flag=True, help="Follow until the job ends.")
@click.option("-t", "--tail", is_flag=True, help="Only what is printed from now on.")
@click.option("-e", "--execution-id", default="", help="Output of one execution.")
@namespace_option
def job_logs(job_id: str, follow: bool, tail: bool, execution_id: str, namespace: str) -> None:
    """Print a job's output."""
    connected = client()
    stream = connected.api().logs(
        job_id, namespace=namespace, follow=follow, tail=tail, execution_id=execution_id
    )
    for frame in connected.portal.iterate(stream):
        click.echo(frame.value.line, nl=False, err=frame.value.type == 2)


@job.command("get")
@click.argument("job_id", metavar="JOB[/PATH]")
@click.option(
    "--output-dir",
    default=None,
    type=click.Path(file_okay=False),
    help="Output directory (default ./job-JOB).",
)
@click.option("--raw", is_flag=True, help="Leave the results as they were published, in raw/.")
@click.option("--download-timeout-secs", default="", metavar="DURATION", help="Time limit (5m, 90s).")
@namespace_option
def job_get(
    job_id: str, output_dir: str | None, raw: bool, download_timeout_secs: str, namespace: str
) -> Result | None:
    """Download a job's results, or one file or directory of them (JOB/outputs/table.csv)."""
    name, _, path = job_id.partition("/")
    if raw and path:
        raise BadRequest("--raw takes whole results, not one path of them")
    timeout_s = _timeout(download_timeout_secs)
    handle = client().job(name, namespace=namespace)
    if output_dir is not None and not Path(output_dir).is_dir():
        raise BadRequest(
            f"--output-dir {output_dir} does not exist",
            hint="create it first, or leave the option out: the default is job-<id> in this directory",
        )
    click.echo(f"Fetching results of job '{name}'...", err=True)
    published = handle.results()
    if not published:
        return Text(
            "No results found\nYou can check the logged output of the job using the logs command.\n\n"
            f"  bacalhau job logs {name}"
        )
    folder = f"job-{name}" if namespace in ("", "default") else f"job-{namespace}-{name}"
    try:
        target = handle.get(
            Path(output_dir) if output_dir is not None else Path.cwd() / folder,
            path=path,
            raw=raw,
            timeout_s=timeout_s,
        )
    except NoDownloader as error:
        # The official client says so, shows where they are, and ends well.
        click.echo(f"{NO_DOWNLOADER}\n{json.dumps(to_plain(published), indent=4)}", err=True)
        click.echo(f"{error.message}; {error.hint}", err=True)
        return None
    return Text(f"Results for job '{name}' have been written to...\n{target.resolve()}")


def _timeout(text: str) -> float | None:
    """Read the official flag, else the setting; None means no limit."""
    key = KEYS["ResultDownloaders.Timeout"]
    seconds = (
        parse_value(key, text, "--download-timeout-secs")
        if text
        else Config.from_sources()["ResultDownloaders.Timeout"]
    )
    return float(seconds) or None


@job.command("stop")
@click.argument("job_id")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@namespace_option
def job_stop(job_id: str, quiet: bool, namespace: str) -> Result | None:
    """Stop a job and wait until it is gone."""
    handle = client().job(job_id, namespace=namespace)
    state = handle.state
    if state.is_terminal:
        raise BacalhauError(f"job {handle.short_id} is over already ({state.value})", component="Job")
    handle.stop()
    return None if quiet else Text(f"Job {handle.id} stopped.")


@bacalhau.command()
@click.argument("job_id")
@click.option("--check/--no-check", default=True, help="Fail on a non-zero exit code.")
def attach(job_id: str, check: bool) -> Any:
    """Show a job again, with its output so far, until it is over; an interrupt leaves it running."""
    return current().follow(client().job(job_id), logs=True, check=check, on_interrupt="detach")

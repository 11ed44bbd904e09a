"""The command grammar: the official verbs and flags, used by the shell and by ``%bacalhau``.

Commands return `Table`, `Record`, `Text` or what the session returns for a finished job; the front end shows it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bacalhau_jupyter.cli.grammar.options import (
    job_options,
    namespace_option,
    print_options,
    spec_options,
    wait_options,
    without_dashes,
)
from bacalhau_jupyter.cli.grammar.output import Record, Result, Table, Text
from bacalhau_jupyter.cli.grammar.session import current
from bacalhau_jupyter.cli.grammar.views import (
    executions_table,
    history_table,
    job_record,
    jobs_table,
    nodes_table,
)
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.job import Job as JobModel

_LAZY = {"serve": "bacalhau_jupyter.cli.serve:serve", "demo": "bacalhau_jupyter.cli.demo:demo"}
"""Verbs whose modules belong to a server; they are imported when they are used."""


class Group(click.Group):
    """A group that loads server verbs lazily and names the nearest verb for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all verbs, the lazy ones among them."""
        lazy = _LAZY if ctx.parent is None else {}
        return sorted({*super().list_commands(ctx), *lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, importing it when it is lazy."""
        found = super().get_command(ctx, cmd_name)
        if found is None and ctx.parent is None and cmd_name in _LAZY:
            module, _, name = _LAZY[cmd_name].partition(":")
            found = getattr(importlib.import_module(module), name)
        return found


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", default=None, metavar="PROFILE", help="Which saved cluster to talk to.")
@click.pass_context
def bacalhau(ctx: click.Context, context: str | None) -> None:
    """Run jobs where the data is, with Bacalhau."""
    ctx.meta["bacalhau.context"] = context


def _client() -> Any:
    return current().client(click.get_current_context().find_root().meta.get("bacalhau.context"))


# ---- running jobs


def submit(
    job: JobModel, *, wait: bool, follow: bool, id_only: bool, dry_run: bool, check: bool | None
) -> Any:
    """Submit a job and do what the wait flags say."""
    if dry_run:
        return Record(spec_of(job))
    handle, warnings = _client().submit_with_warnings(job)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    if id_only:
        return Text(handle.id)
    if not wait:
        return Text(f"Job {handle.id} submitted. %bacalhau attach {handle.short_id} shows it again.")
    return current().follow(handle, logs=follow, check=bool(check))


def spec_of(job: JobModel) -> dict[str, Any]:
    """Return what a person would write: the spec without state, IDs and times."""
    hidden = {"ID", "State", "Version", "Revision", "CreateTime", "ModifyTime"}
    return {
        key: value for key, value in to_plain(job).items() if key not in hidden and value not in ("", {}, [])
    }


@bacalhau.group()
def docker() -> None:
    """Run containers."""


@docker.command("run", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@spec_options()
@click.option("--entrypoint", multiple=True, help="Override the image's entrypoint.")
@wait_options
@click.argument("image")
@click.argument("command", nargs=-1)
def docker_run(
    image: str, command: Sequence[str], entrypoint: Sequence[str], workdir: str, **values: Any
) -> Any:
    """Run COMMAND in a container of IMAGE as a job."""
    from bacalhau_jupyter.client import build

    flags = _wait_flags(values)
    job = build.docker(
        image, without_dashes(command), entrypoint=entrypoint, workdir=workdir, **job_options(values)
    )
    return submit(job, **flags)


def _wait_flags(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values.pop(key) for key in ("wait", "follow", "id_only", "dry_run", "check")}


@bacalhau.group()
def job() -> None:
    """Submit, look at and stop jobs."""


def read_spec(text: str, what: str) -> JobModel:
    """Parse a YAML or JSON job spec.

    Raises
    ------
    BadRequest
        It is neither, or not a mapping, or a member has the wrong type.
    """
    import yaml

    from bacalhau_jupyter.models.codec import convert

    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise BadRequest(f"{what} is not valid YAML{where}: {reason}") from error
    if not isinstance(plain, dict):
        raise BadRequest(f"{what} must be a mapping with Type and Tasks, not {type(plain).__name__}")
    inner = next((value for key, value in plain.items() if str(key).lower() == "job"), None)
    return convert(inner if isinstance(inner, dict) else plain, JobModel, what)


@job.command("run")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--force", is_flag=True, help="Submit even an unchanged spec.")
@wait_options
def job_run(file: str, force: bool, **flags: Any) -> Any:
    """Submit the job spec in FILE (YAML or JSON, - for standard input)."""
    text = sys.stdin.read() if file == "-" else _read(file)
    model = read_spec(text, "the job spec" if file == "-" else file)
    if flags["dry_run"]:
        answer = _client().call(lambda api: api.diff(model))
        return Text(answer.diff or "no changes")
    if force:
        return _forced(model, flags)
    return submit(model, **flags)


def _forced(model: JobModel, flags: dict[str, Any]) -> Any:
    handle = _client().submit(model, force=True)
    if flags["id_only"] or not flags["wait"]:
        return Text(handle.id)
    return current().follow(handle, logs=flags["follow"], check=bool(flags["check"]))


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} can't be read: {error}") from error


# ---- looking at jobs


@job.command("list")
@click.option("--labels", multiple=True, metavar="SELECTOR", help="Only jobs whose labels match.")
@click.option("--limit", default=10, help="How many.")
@click.option("--next-token", default="", help="Go on after an earlier page.")
@click.option("--order-by", type=click.Choice(["id", "created_at"]), default="created_at", help="Order.")
@click.option("--order-reversed/--order-forward", default=True, help="Newest first.")
@print_options
def job_list(
    labels: Sequence[str], limit: int, next_token: str, order_by: str, order_reversed: bool, **show: Any
) -> Result:
    """List jobs."""
    order = "" if order_by == "id" else order_by
    page = _client().call(
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
    answer = _client().call(
        lambda api: api.get_job(job_id, namespace=namespace, include="executions,history")
    )
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
    page = _client().call(
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
    rows = _client().call(lambda api: api.full_history(job_id, limit=limit, **filters))
    return history_table(rows, wide=values["wide"])


@job.command("logs")
@click.argument("job_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-t", "--tail", is_flag=True, help="Only what is printed from now on.")
@click.option("-e", "--execution-id", default="", help="Output of one execution.")
@namespace_option
def job_logs(job_id: str, follow: bool, tail: bool, execution_id: str, namespace: str) -> None:
    """Print a job's output."""
    client = _client()
    stream = client.api().logs(
        job_id, namespace=namespace, follow=follow, tail=tail, execution_id=execution_id
    )
    for frame in client.portal.iterate(stream):
        click.echo(frame.value.line, nl=False, err=frame.value.type == 2)


@job.command("get")
@click.argument("job_id")
@click.option(
    "--output-dir", default=None, type=click.Path(file_okay=False), help="Where to (default ./job-ID)."
)
@namespace_option
def job_get(job_id: str, output_dir: str | None, namespace: str) -> Result:
    """Download a job's results."""
    handle = _client().job(job_id, namespace=namespace)
    if output_dir is not None and not Path(output_dir).is_dir():
        raise BadRequest(f"--output-dir {output_dir} does not exist")
    if not handle.client.call(lambda api: api.results(handle.id)).items:
        return Text(f"No results found. `job logs {handle.short_id}` shows what the job printed.")
    target = handle.get(output_dir)
    return Text(f"Results for job '{job_id}' have been written to...\n{target}")


@job.command("stop")
@click.argument("job_id")
@click.option("--quiet", is_flag=True, help="Print nothing.")
@namespace_option
def job_stop(job_id: str, quiet: bool, namespace: str) -> Result | None:
    """Stop a job and wait until it is gone."""
    handle = _client().job(job_id, namespace=namespace)
    state = handle.state
    if state.is_terminal:
        raise BacalhauError(f"job {handle.short_id} is over already ({state.value})", component="Job")
    handle.stop()
    return None if quiet else Text(f"Job {handle.id} stopped.")


@bacalhau.command()
@click.argument("job_id")
@click.option("--check/--no-check", default=True, help="Fail on a non-zero exit code.")
def attach(job_id: str, check: bool) -> Any:
    """Show a job again, with its output so far, until it is over."""
    return current().follow(_client().job(job_id), logs=True, check=check)


# ---- nodes and agent


@bacalhau.group()
def node() -> None:
    """Look at nodes."""


@node.command("list")
@click.option("--labels", default="", metavar="SELECTOR", help="Only nodes whose labels match.")
@click.option("--filter-approval", default="", help="approved, pending or rejected.")
@click.option("--filter-status", default="", help="connected or disconnected.")
@click.option("--limit", default=0, help="How many.")
@click.option("--order-by", default="", help="Order.")
@click.option("--order-reversed", is_flag=True, help="Reverse the order.")
@print_options
def node_list(
    labels: str,
    filter_approval: str,
    filter_status: str,
    limit: int,
    order_by: str,
    order_reversed: bool,
    **show: Any,
) -> Result:
    """List nodes."""
    page = _client().call(
        lambda api: api.nodes(
            labels=labels,
            approval=filter_approval,
            status=filter_status,
            limit=limit,
            order_by=order_by,
            reverse=order_reversed,
        )
    )
    return nodes_table(page.nodes, wide=show["wide"])


@node.command("describe")
@click.argument("node_id")
@print_options
def node_describe(node_id: str, **show: Any) -> Result:
    """Show everything about a node."""
    return Record(_client().call(lambda api: api.node(node_id)).node)


@bacalhau.group()
def agent() -> None:
    """Ask the connected node about itself."""


@agent.command("alive")
@print_options
def agent_alive(**show: Any) -> Result:
    """Ask whether it answers."""
    status = _client().call(lambda api: api.agent_alive())
    return Table(("status",), [(status.status,)], status)


@agent.command("node")
@print_options
def agent_node(**show: Any) -> Result:
    """Show the node's description of itself."""
    return Record(_client().call(lambda api: api.agent_node()))


@agent.command("version")
@print_options
def agent_version(**show: Any) -> Result:
    """Show the node's version."""
    info = _client().call(lambda api: api.agent_version())
    return Table(
        ("version", "commit", "os", "arch"),
        [(info.git_version, info.git_commit[:8], info.goos, info.goarch)],
        info,
    )


@agent.command("config")
@print_options
def agent_config(**show: Any) -> Result:
    """Show the node's effective configuration, secrets masked."""
    return Record(_client().call(lambda api: api.agent_config()))


@bacalhau.command()
@print_options
def version(**show: Any) -> Result:
    """Show the versions of client and server."""
    from bacalhau_jupyter import __version__

    try:
        server = _client().call(lambda api: api.agent_version()).git_version
    except BacalhauError as error:
        server = f"({error.message})"
    return Table(("client", "server"), [(__version__, server)], {"client": __version__, "server": server})


@job.command("validate")
@click.argument("file", type=click.Path(dir_okay=False))
def job_validate(file: str) -> Result:
    """Check a job spec without submitting it."""
    from bacalhau_jupyter.models.normalize import normalize_job
    from bacalhau_jupyter.models.validate import validate_submission

    model = read_spec(_read(file), file)
    validate_submission(normalize_job(model))
    return Text(f"{file} is a valid job spec")


__all__ = ["bacalhau", "job_options", "read_spec", "spec_of", "submit"]

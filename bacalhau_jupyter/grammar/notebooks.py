"""``run-notebook``: a notebook as a job; the executed copy comes back beside the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bacalhau_jupyter.client.inputs.modules import Snapshot
from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.options import (
    job_options,
    modules_option,
    pip_options,
    spec_options,
)
from bacalhau_jupyter.grammar.flags.waiting import WAIT_FLAGS, wait_options
from bacalhau_jupyter.grammar.output import Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.grammar.specs import described, read_file
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest


@bacalhau.command("run-notebook")
@click.argument("notebook", type=click.Path(dir_okay=False))
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=completing.parameters,
    help="Set a parameter (as papermill).",
)
@click.option(
    "--image",
    default="",
    shell_complete=completing.images,
    help="Run in a container of this image (it needs nbclient and ipykernel).",
)
@click.option("--kernel", default="", metavar="NAME", help="Kernel to use instead of the notebook's own.")
@click.option(
    "--save-as",
    default=None,
    type=click.Path(dir_okay=False),
    help="File for the executed copy (default: NAME.out.ipynb).",
)
@spec_options()
@pip_options
@modules_option
@wait_options
def run_notebook(
    notebook: str,
    parameters: tuple[str, ...],
    image: str,
    kernel: str,
    save_as: str | None,
    modules: bool,
    **values: Any,
) -> Any:
    """Run NOTEBOOK as a job, in its own environment or an image, and bring the executed copy back."""
    from bacalhau_jupyter.client.notebooks import build, copies, files

    target = Path(save_as) if save_as else None
    if target is not None and target.exists():
        raise BadRequest(f"--save-as {save_as} exists already, and nothing is overwritten")
    flags = {key: values.pop(key) for key in WAIT_FLAGS}
    workdir = values.pop("workdir")
    document = files.read_notebook(read_file(notebook), notebook)
    prepared = files.with_parameters(document, _parameters(parameters))
    connected = client()
    taken = build.beside(document, Path(notebook).resolve().parent) if modules else Snapshot()
    say_what_stays(taken, in_full=flags["dry_run"])
    job = build.notebook_job(
        prepared,
        notebook,
        connected.info,
        shares_machine=connected.endpoint.embedded,
        environment=connected.environment,
        image=image,
        argv=None if image else build.kernel_argv(document, kernel),
        workdir=workdir,
        modules=taken.files,
        options=job_options(values, client),
    )
    if flags["dry_run"]:
        return described(job, exact=flags["exact"])
    handle = current().submit(connected, job, force=False, on_interrupt="stop")
    if flags["id_only"]:
        click.echo(handle.id)
        if flags["wait"]:
            _save(handle.until_settled(check=flags["check"] is not False), Path(notebook), target)
        return None
    if not flags["wait"]:
        return Text(copies.how_to_fetch(handle.id, notebook))
    return _follow(handle, Path(notebook), target, check=flags["check"] is not False)


def say_what_stays(taken: Snapshot, *, in_full: bool) -> None:
    """Warn of what the code needs and can't have; in full, name the other files that stay behind, too."""
    if taken.warning:
        click.echo(f"Warning: {taken.warning}", err=True)
    if in_full and taken.left_out:
        click.echo(f"Note: {taken.summary}", err=True)


def _follow(handle: Any, original: Path, target: Path | None, *, check: bool) -> Any:
    """Show the run, then save the copy: also that of a run in which a cell failed."""
    from bacalhau_jupyter.client.jobs.job import JobFailed

    try:
        value = current().follow(handle, logs=True, check=check)
    except JobFailed as error:
        if error.result is not None:
            try:
                _save(error.result, original, target)
            except BacalhauError as unsaved:
                # What failed first is what the person must hear.
                click.echo(f"the executed copy could not be saved: {unsaved.message}", err=True)
        raise
    _save(handle.outcome(check=False), original, target)
    return value


def _save(result: Any, original: Path, target: Path | None) -> None:
    from bacalhau_jupyter.client.notebooks import copies, files

    made = copies.executed_copy(result)
    if made is None:
        click.echo("the job left no executed copy", err=True)
        return
    click.echo(f"executed copy: {files.save_beside(made, original, target)}")


def _parameters(texts: tuple[str, ...]) -> dict[str, Any]:
    from bacalhau_jupyter.client.notebooks.files import typed

    parameters: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadRequest(f"-p/--parameter needs NAME=VALUE, not {text!r}")
        parameters[name.strip()] = typed(value)
    return parameters


# Here -p is papermill's; the publisher keeps its long name.
for _option in run_notebook.params:
    if _option.name == "publisher":
        _option.opts = ["--publisher"]


@bacalhau.command("form")
@click.argument("spec", default="", metavar="[JOB|FILE]")
@click.pass_context
def form(ctx: click.Context, spec: str) -> Any:
    """Open a form that builds a job, empty or filled with a JOB or with the spec in FILE (in a notebook)."""
    return current().form(spec, ctx.find_root().meta.get("bacalhau.context"))

"""``docker …``: containers as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.options import job_options, listed, spec_options
from bacalhau_jupyter.grammar.flags.waiting import progress_options, wait_options
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.submitting import Waiting, submit


@bacalhau.group()
def docker() -> None:
    """Run containers."""


@docker.command("run")
@spec_options()
@click.option("--entrypoint", multiple=True, help="Override the image's entrypoint.")
@wait_options
@progress_options
@click.argument("image", shell_complete=completing.images)
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
def docker_run(
    image: str, command: Sequence[str], entrypoint: Sequence[str], workdir: str, **values: Any
) -> Any:
    """Run COMMAND in a container of IMAGE as a job."""
    from bacalhau_jupyter.client.jobs import build

    engine = build.docker_engine(image, command, entrypoint=listed(entrypoint), workdir=workdir)
    return submit(build.job_of(engine, job_options(values, client)), Waiting.of(values))

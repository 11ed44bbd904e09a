"""``docker …``: containers as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bacalhau_jupyter.grammar.options import job_options, spec_options, wait_options
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.specs import submit


@bacalhau.group()
def docker() -> None:
    """Run containers."""


@docker.command("run")
@spec_options()
@click.option("--entrypoint", multiple=True, help="Override the image's entrypoint.")
@wait_options
@click.argument("image")
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
def docker_run(
    image: str, command: Sequence[str], entrypoint: Sequence[str], workdir: str, **values: Any
) -> Any:
    """Run COMMAND in a container of IMAGE as a job."""
    from bacalhau_jupyter.client.jobs import build

    flags = _wait_flags(values)
    engine = build.docker_engine(image, command, entrypoint=entrypoint, workdir=workdir)
    return submit(build.job_of(engine, job_options(values, client)), **flags)


def _wait_flags(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values.pop(key) for key in ("wait", "follow", "id_only", "dry_run", "check")}

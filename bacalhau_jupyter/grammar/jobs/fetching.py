"""``job logs|get``: what jobs printed, and the files that they left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from bacalhau_jupyter.client.results.sources import NO_DOWNLOADER, NoDownloader
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import namespace_option, version_option
from bacalhau_jupyter.grammar.flags.types import SECONDS
from bacalhau_jupyter.grammar.jobs.group import job
from bacalhau_jupyter.grammar.output import Result, Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.grammar.session import current, overrides
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.displays import DisplayFilter

_STDOUT, _STDERR = 1, 2


@job.command("logs")
@click.argument("job_id", shell_complete=completing.jobs)
@click.option("-f", "--follow", is_flag=True, help="Follow until the job ends.")
@click.option("-t", "--tail", is_flag=True, help="Only what is printed from now on.")
@click.option("-e", "--execution-id", default="", help="Output of one execution.")
@version_option
@namespace_option
def job_logs(job_id: str, follow: bool, tail: bool, execution_id: str, version: int, namespace: str) -> None:
    """Print a job's output."""
    connected = client()
    stream = connected.api().logs(
        job_id, namespace=namespace, version=version, follow=follow, tail=tail, execution_id=execution_id
    )
    frames = connected.portal.iterate(stream)
    current().print_log(job_id, _without_displays((frame.value.type, frame.value.line) for frame in frames))


def _without_displays(chunks: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Leave out what a notebook would show otherwise."""
    displays = DisplayFilter()
    for stream, text in chunks:
        yield stream, text if stream == _STDERR else displays.feed(text)
    yield _STDOUT, displays.finish()


@job.command("get")
@click.argument("job_id", metavar="JOB[/PATH]", shell_complete=completing.jobs)
@click.option(
    "--output-dir",
    default=None,
    type=click.Path(file_okay=False),
    help="Output directory (default ./job-JOB).",
)
@click.option("--raw", is_flag=True, help="Download the results as they were published, into raw/.")
@click.option(
    "--download-timeout-secs",
    type=SECONDS,
    default=None,
    metavar="DURATION",
    help="Time limit (5m, 90s, 90).",
)
@namespace_option
def job_get(
    job_id: str, output_dir: str | None, raw: bool, download_timeout_secs: int | None, namespace: str
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
        program = click.get_current_context().find_root().info_name
        return Text(
            "No results found\nYou can check the logged output of the job using the logs command.\n\n"
            f"  {program} job logs {name}"
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


def _timeout(flag_s: int | None) -> float | None:
    """Return the official flag's value, else the setting's; None means no limit."""
    seconds = (
        Config.from_sources(overrides=overrides())["ResultDownloaders.Timeout"] if flag_s is None else flag_s
    )
    return float(seconds) or None

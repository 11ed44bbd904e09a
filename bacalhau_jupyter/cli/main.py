"""The shell front end: ``bacalhau-jupyter …``."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.grammar.output import Details, Table, Text
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.models.history import StreamEvent
    from bacalhau_jupyter.models.job import Job as JobModel


class ShellSession:
    """Prints transitions on stderr and output on stdout, like the official CLI."""

    def __init__(self) -> None:
        self._clients: dict[str | None, Client] = {}

    def client(self, context: str | None = None) -> Client:
        """Return the connected client, found on first use."""
        from bacalhau_jupyter.client.client import Client

        if context not in self._clients:
            self._clients[context] = Client(context=context)
        return self._clients[context]

    def submit(self, client: Client, model: JobModel, *, force: bool, on_interrupt: str) -> Job:
        """Submit a job; warnings of the cluster go to stderr."""
        del on_interrupt
        job, warnings = client.submit_with_warnings(model, force=force)
        for warning in warnings:
            click.echo(f"Warning: {readable(warning, lines=True)}", err=True)
        return job

    def follow(self, job: Job, *, logs: bool, check: bool, on_interrupt: str = "stop") -> Any:
        """Print what happens until the job is over; an interrupt leaves it running, as the official CLI does."""
        from bacalhau_jupyter.client.jobs.job import JobFailed
        from bacalhau_jupyter.client.jobs.watch import Output

        done = "attached" if on_interrupt == "detach" else "submitted"
        click.echo(f"Job successfully {done}. Job ID: {job.id}", err=True)
        phases: set[tuple[str, str]] = set()
        try:
            for update in job.updates(logs=logs):
                if isinstance(update, Output):
                    click.echo(update.text, nl=False, err=update.stream == 2)
                elif not logs and update.event.message and _is_news(update.event, phases):
                    message = readable(update.event.message, lines=True)
                    click.echo(f"{update.event.topic:<16} {message}", err=True)
        except KeyboardInterrupt:
            click.echo(
                f"\nthe job continues; follow it again with: bacalhau-jupyter attach {job.short_id}", err=True
            )
            raise
        try:
            result = job.outcome(check=check)
        except JobFailed as error:
            if error.result is not None and error.result.stderr and not logs:
                click.echo(error.result.stderr.rstrip("\n"), err=True)
            raise
        if result.left_out:
            from bacalhau_jupyter.client.results.record import named

            click.echo(f"left out of the results: {named(result.left_out)}", err=True)
        if logs:
            return None
        return Text(
            f"Job {job.short_id}: {result.job.state.state_type.value}, exit code {result.exit_code}\n{_next(job)}"
        )

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


def _is_news(event: StreamEvent, phases: set[tuple[str, str]]) -> bool:
    """Whether to print a line: a phase is printed when it begins, not at each progress."""
    if event.topic != "Progress":
        return True
    phase = (event.execution, event.message)
    known = phase in phases
    phases.add(phase)
    return not known


def _next(job: Job) -> str:
    return f"its output: bacalhau-jupyter job logs {job.short_id}\nits files: bacalhau-jupyter job get {job.short_id}"


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit."""
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character shows another; the command must not fail for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    status = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError:
        # The reader has gone (`| head`): Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    sys.exit(status)


def open_standard_streams() -> None:
    """Put the null device where a standard stream is closed (``>&-``): Python has None there, which nothing expects.

    Otherwise the next file or socket that is opened would get the number, too, and be taken for it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, and the ones before are open by now.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", newline=None, closefd=False))  # noqa: SIM115


def run(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    session = ShellSession()
    try:
        value = bacalhau.main(arguments, prog_name="bacalhau-jupyter", standalone_mode=False, obj=session)
        return _show(value)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BacalhauError as error:
        click.echo(f"Error: {readable(error.message, lines=True)}", err=True)
        if error.hint:
            click.echo(f"Hint: {readable(error.hint, lines=True)}", err=True)
        return 1
    except BrokenPipeError:
        return 1
    except UnicodeError as error:
        said = shown(str(getattr(error, "object", ""))[:80])
        click.echo(f"Error: '{said}' is not UTF-8 text", err=True)
        return 1
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}", err=True)
        return 1
    finally:
        session.close()


def _show(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, (Table, Details, Text)):
        click.echo(value.render(value.show))
    return 0


if __name__ == "__main__":
    main()

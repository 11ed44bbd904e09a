"""The shell front end: ``bacalhau-jupyter …``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.cli.grammar import bacalhau
from bacalhau_jupyter.cli.grammar.output import Record, Table, Text, output_form
from bacalhau_jupyter.models.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.job import Job


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

    def follow(self, job: Job, *, logs: bool, check: bool) -> Any:
        """Print what happens until the job is over."""
        from bacalhau_jupyter.client.job import JobFailed
        from bacalhau_jupyter.client.watch import Output

        click.echo(f"Job successfully submitted. Job ID: {job.id}", err=True)
        try:
            for update in job.updates(logs=logs):
                if isinstance(update, Output):
                    click.echo(update.text, nl=False, err=update.stream == 2)
                elif not logs:
                    click.echo(f"{update.event.topic:<16} {update.event.message}", err=True)
        except KeyboardInterrupt:
            click.echo(
                f"\nthe job goes on; see it again with: bacalhau-jupyter attach {job.short_id}", err=True
            )
            raise
        try:
            result = job.outcome(check=check)
        except JobFailed as error:
            if error.result is not None and error.result.stderr and not logs:
                click.echo(error.result.stderr.rstrip("\n"), err=True)
            raise
        if logs:
            return None
        return Text(
            f"Job {job.short_id}: {result.job.state.state_type.value}, exit code {result.exit_code}\n{_next(job)}"
        )

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


def _next(job: Job) -> str:
    return f"its output: bacalhau-jupyter job logs {job.short_id}\nits files: bacalhau-jupyter job get {job.short_id}"


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    session = ShellSession()
    try:
        value = bacalhau.main(arguments, prog_name="bacalhau-jupyter", standalone_mode=False, obj=session)
        return _show(value, arguments)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BacalhauError as error:
        click.echo(f"Error: {error.message}", err=True)
        if error.hint:
            click.echo(f"Hint: {error.hint}", err=True)
        return 1
    except BrokenPipeError:
        return 1
    finally:
        session.close()


def _show(value: object, arguments: list[str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, (Table, Record, Text)):
        form, hide_header, pretty = output_form(arguments)
        click.echo(value.render(form, hide_header=hide_header, pretty=pretty))
    return 0


if __name__ == "__main__":
    main()

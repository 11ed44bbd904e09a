"""The shell front end: ``bacalhau-jupyter …``."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.config.repo import NODE_MARKER
from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.grammar.output import Details, Table, Text
from bacalhau_jupyter.grammar.root import COMPLETE_VARIABLE, PROGRAM
from bacalhau_jupyter.grammar.session import without_directory
from bacalhau_jupyter.lib.telemetry.base import SILENT, spanning
from bacalhau_jupyter.lib.telemetry.start import link_of_process, telemetry_of_client
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Unauthorized
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.displays import DisplayFilter
from bacalhau_jupyter.models.text import readable, typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.client.login.flow import Prompter
    from bacalhau_jupyter.models.jobs.job import Job as JobModel


class ShellSession:
    """Prints transitions on stderr and output on stdout, like the official CLI."""

    usual_wait_s = 600
    """As the official help says."""
    program = PROGRAM

    def __init__(self) -> None:
        self._clients: dict[str | None, Client] = {}
        self._directory: str | None = None

    def client(self, context: str | None = None, overrides: tuple[str, ...] = ()) -> Client:
        """Return the connected client, found on first use."""
        from bacalhau_jupyter.client.client import Client

        if context not in self._clients:
            # A shell's session is one command: its options are the same for all its clients.
            rest, self._directory = without_directory(overrides)
            self._clients[context] = Client(context=context, data_dir=self._directory, overrides=rest)
        return self._clients[context]

    def peek(self, context: str | None = None) -> Client | None:
        """Return a connected client where no node has to be started for it."""
        from bacalhau_jupyter.client.client import Client

        client = self._clients.get(context) or Client(context=context, start=False)
        try:
            client.api()
        except BacalhauError:
            return None
        return self._clients.setdefault(context, client)

    def last_job_id(self, client: Client) -> str:
        """Return the last job that was submitted from this directory."""
        from bacalhau_jupyter.cli.record import last_job_id

        return last_job_id(client.endpoint.url)

    def submit(
        self,
        client: Client,
        model: JobModel,
        *,
        force: bool,
        on_interrupt: str | None,
        hide_warnings: bool = False,
    ) -> Job:
        """Submit a job; warnings of the cluster go to stderr."""
        from bacalhau_jupyter.cli.record import note

        del on_interrupt
        job, warnings = client.submit_with_warnings(model, force=force)
        note(job)
        for warning in () if hide_warnings else warnings:
            click.echo(f"Warning: {readable(warning, lines=True)}", err=True)
        return job

    def form(self, spec: str, context: str | None) -> Any:
        """Refuse: a shell has no widgets."""
        del spec, context
        raise BadRequest(
            "a form needs a notebook",
            hint="there the same words open one; here: docker run --help lists what jobs have",
        )

    def prompter(self) -> Prompter:
        """Return how to talk with the person about a login."""
        from bacalhau_jupyter.cli.prompts import TerminalPrompter

        return TerminalPrompter()

    def password(self, prompt: str) -> str:
        """Return a password from the terminal, or the first line of a pipe."""
        from bacalhau_jupyter.cli.prompts import read_password

        return read_password(prompt)

    def chosen(self) -> None:
        """Say where programs of this terminal still go to the cluster before."""
        if os.environ.get(NODE_MARKER) and os.environ.get("BACALHAU_API_HOST"):
            click.echo(
                "Note: the official program in this terminal needs: unset BACALHAU_API_HOST BACALHAU_API_PORT "
                "BACALHAU_API_KEY",
                err=True,
            )

    def check_secret(self) -> None:
        """Let secrets be printed: whoever asks for one sees it."""

    def print_log(self, job_id: str, chunks: Iterable[tuple[int, str]]) -> None:
        """Print a log, all of it."""
        del job_id
        for stream, text in chunks:
            click.echo(text, nl=False, err=stream == 2)

    def follow(self, job: Job, *, logs: bool, check: bool, on_interrupt: str | None = None) -> Any:
        """Print what happens until the job is over; an interrupt leaves it running, as the official CLI does.

        A submitted service or daemon, which has no end, is left once it runs, as officially, unless its
        output is shown.
        """
        from bacalhau_jupyter.cli.lines import EventLines
        from bacalhau_jupyter.client.jobs.job import JobFailed
        from bacalhau_jupyter.client.jobs.watch import Output
        from bacalhau_jupyter.models.jobs.job import JobType

        done = "attached" if on_interrupt == "detach" else "submitted"
        click.echo(f"Job successfully {done}. Job ID: {job.id}", err=True)
        displays = DisplayFilter()
        model = job.describe()
        lines = EventLines(folds=model.type in (JobType.OPS, JobType.DAEMON) or (model.count or 0) > 1)
        is_left = not logs and on_interrupt != "detach" and model.is_long_running
        try:
            for update in job.updates(logs=logs):
                if isinstance(update, Output):
                    is_error = update.stream == 2
                    text = update.text if is_error else displays.feed(update.text)
                    click.echo(text, nl=False, err=is_error)
                elif not logs and update.event.message:
                    if line := lines.line(update.event):
                        click.echo(line, err=True)
                    # Nobody asks for a daemon's executions: they have no event that they run.
                    begins = update.event.topic == "Execution" or model.type == "daemon"
                    if is_left and update.event.execution and begins:
                        return Text(
                            f"Job {job.short_id} runs until it is stopped\n"
                            f"its output: bacalhau-jupyter attach {job.short_id}\n"
                            f"its end: bacalhau-jupyter job stop {job.short_id}"
                        )
        except KeyboardInterrupt:
            click.echo(
                f"\nthe job continues; follow it again with: bacalhau-jupyter attach {job.short_id}", err=True
            )
            raise
        for line in lines.rest():
            click.echo(line, err=True)
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
        state, code = result.job.state.state_type.value, result.exit_code
        ending = f"✕ exit {code}" if code else f"{state}, exit code {code}"
        return Text(f"Job {job.short_id}: {ending}, {result.runtime}\n{_next(job)}")

    def logs_in_after(self) -> bool:
        """Log the person in where a cluster refused the command before it did anything; True if that helped.

        As with the official CLI, a credential of the environment is not replaced. Who can't be asked (a script) is
        not kept waiting for somebody who confirms a code.
        """
        from bacalhau_jupyter.cli.renewing import logged_in_again

        refused = [client for client in self._clients.values() if client.is_connected]
        return len(refused) == 1 and logged_in_again(refused[0], self._directory)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()


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
        # A node has a telemetry of its own.
        telemetry = SILENT if arguments[:1] in (["serve"], ["devstack"]) else telemetry_of_client()
        with spanning(telemetry, PROGRAM, parent=link_of_process()):
            try:
                value = _invoked(arguments, session)
            except Unauthorized as refused:
                from bacalhau_jupyter.client.login import COMPONENT

                # A login that failed is no reason to ask again without a word.
                if refused.component == COMPONENT or not session.logs_in_after():
                    raise
                value = _invoked(arguments, session)
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
            click.echo(f"Hint: {readable(typed(error.hint, PROGRAM), lines=True)}", err=True)
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


def _invoked(arguments: list[str], session: ShellSession) -> object:
    return bacalhau.main(
        arguments, prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=False, obj=session
    )


def _show(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, (Table, Details, Text)):
        click.echo(value.render(value.show))
    return 1 if isinstance(value, Details) and value.is_failure else 0


if __name__ == "__main__":
    main()

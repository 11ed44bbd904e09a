"""What a command needs from its surroundings: a client, its settings, and a way to show a running job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.client.login.flow import Prompter
    from bacalhau_jupyter.models.jobs.job import Job as JobModel


class Session(Protocol):
    """Provided by the shell front end and by the notebook.

    Attributes
    ----------
    usual_wait_s
        Seconds that a submitted job is waited for, where nobody said how long; 0 means no limit.
    program
        What a person types before a verb.
    """

    usual_wait_s: int
    program: str

    def client(self, context: str | None = None, overrides: tuple[str, ...] = ()) -> Client:
        """Return the connected client (of a saved profile, or of what ``-c`` says, when these are given)."""
        ...

    def peek(self, context: str | None = None) -> Client | None:
        """Return a connected client only where no node has to be started for it."""
        ...

    def last_job_id(self, client: Client) -> str:
        """Return the last job that was submitted from here to a client's cluster; empty if there is none."""
        ...

    def submit(
        self,
        client: Client,
        model: JobModel,
        *,
        force: bool,
        on_interrupt: str | None,
        hide_warnings: bool = False,
    ) -> Job:
        """Submit a job and tell the cluster's warnings."""
        ...

    def follow(self, job: Job, *, logs: bool, check: bool, on_interrupt: str | None = None) -> Any:
        """Show a job until it is over; return what the front end returns for a finished job.

        Parameters
        ----------
        on_interrupt
            ``stop`` or ``detach``; None: stop, unless the job runs until somebody stops it.
        """
        ...

    def form(self, spec: str, context: str | None) -> Any:
        """Return a form that builds a job, filled with a job or a file; raises BadRequest where there are no forms."""
        ...

    def prompter(self) -> Prompter:
        """Return how to talk with the person about a login."""
        ...

    def password(self, prompt: str) -> str:
        """Return a password that the person types unseen; raises BacalhauError where nobody can."""
        ...

    def chosen(self) -> None:
        """Take note that another cluster was chosen: programs that are started from here find it, too."""
        ...

    def check_secret(self) -> None:
        """Raise BadRequest where what a command returns is kept, and would be read by others."""
        ...

    def print_log(self, job_id: str, chunks: Iterable[tuple[int, str]]) -> None:
        """Print a job's log: pairs of stream (1 is stdout, 2 stderr) and text."""
        ...


def current() -> Session:
    """Return the session of the running command."""
    session: Session = click.get_current_context().find_root().obj
    return session


# ---- `-c KEY=VALUE` and the official flags beside it, before a verb or behind it

PROFILE = "bacalhau.context"
"""Where the name of the saved connection is kept."""
_META = "bacalhau.settings"
_OPTIONS = (
    (
        ("-c", "--config", "config"),
        "KEY=VALUE|FILE",
        "{}",
        "Set a config key for this command, or read a file.",
    ),
    (("--api-host", "api_host"), "HOST", "API.Host={}", "Address of the API (API.Host)."),
    (("--api-port", "api_port"), "PORT", "API.Port={}", "Port of the API (API.Port)."),
    (("--data-dir", "data_dir"), "DIR", "DataDir={}", "Directory of all state (BACALHAU_DIR)."),
)


def overrides(context: click.Context | None = None) -> tuple[str, ...]:
    """Return what the running command was given, as ``Key=Value`` or the path of a file."""
    context = context or click.get_current_context(silent=True)
    texts: tuple[str, ...] = context.find_root().meta.get(_META, ()) if context is not None else ()
    return texts


def without_directory(texts: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Split off the data directory, the last one counting: it says where the configuration is."""
    rest: list[str] = []
    directory = None
    for text in texts:
        name, _, value = text.partition("=")
        if name.strip().lower() == "datadir":
            directory = value
        else:
            rest.append(text)
    return tuple(rest), directory


def keep_setting(context: click.Context, text: str) -> None:
    """Keep a setting (``Key=Value``, or a file) for the running command."""
    meta = context.find_root().meta
    meta[_META] = (*meta.get(_META, ()), text)


def settings_flags(*, hidden: bool = False) -> list[click.Option]:
    """Return the flags; hidden ones work and are in no help."""
    profile = click.Option(
        ("--profile", "profile"),
        metavar="NAME",
        help="The same as --context.",
        hidden=True,
        expose_value=False,
        callback=_keep_profile,
    )
    return [
        profile,
        *_keeping_flags(hidden=hidden),
    ]


def _keeping_flags(*, hidden: bool) -> list[click.Option]:
    return [
        click.Option(
            names,
            multiple=True,
            metavar=metavar,
            help=text,
            hidden=hidden,
            expose_value=False,
            callback=_keeping(form),
        )
        for names, metavar, form, text in _OPTIONS
    ]


def _keep_profile(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    del parameter
    if name:
        context.find_root().meta[PROFILE] = name


def _keeping(form: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
        del parameter
        for value in values:
            keep_setting(context, form.format(value))

    return keep

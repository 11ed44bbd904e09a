"""What a command needs from its surroundings: a client, and a way to show a running job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.models.job import Job as JobModel


class Session(Protocol):
    """Provided by the shell front end and by the notebook."""

    def client(self, context: str | None = None) -> Client:
        """Return the connected client (of a saved profile when ``context`` is given)."""
        ...

    def submit(self, client: Client, model: JobModel, *, force: bool, on_interrupt: str) -> Job:
        """Submit a job and tell the cluster's warnings."""
        ...

    def follow(self, job: Job, *, logs: bool, check: bool, on_interrupt: str = "stop") -> Any:
        """Show a job until it is over; return what the front end returns for a finished job."""
        ...


def current() -> Session:
    """Return the session of the running command."""
    session: Session = click.get_current_context().find_root().obj
    return session

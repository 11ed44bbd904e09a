"""``--cache`` and ``--no-cache`` of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.client.cache.finding import Hit, JobCache
from bacalhau_jupyter.client.cache.identity import Unidentified
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.cluster import Cluster
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.client.jobs.many import Member
    from bacalhau_jupyter.config.repo import Repo
    from bacalhau_jupyter.models.jobs.job import Job as JobModel
    from bacalhau_jupyter.notebook.live.card import Card


class CellCache:
    """Looks for a finished job in place of a cell's, and notes the cell's own.

    Parameters
    ----------
    client
        The cluster.
    repo
        The user's repo directory.
    asked
        True for ``--cache``; False for ``--no-cache``, which runs the job and notes it; None without either.
    clock
        Tells how old a job is.
    """

    def __init__(self, client: Cluster, repo: Repo, asked: bool | None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._cache = JobCache(client, repo)
        self._asked = asked
        self._has_complained = False

    def key_of(self, model: JobModel) -> str:
        """Return a job's key; empty where there is no cache for it, which is said once."""
        if self._asked is None:
            return ""
        try:
            return self._cache.key_of(model)
        except Unidentified as error:
            self._complain(error)
            return ""

    def find(self, key: str) -> Hit | None:
        """Return a job that answers; None where the job has to run."""
        return self._cache.find(key) if key and self._asked else None

    def note(self, key: str, job: Job, *, is_named: bool) -> None:
        """Note a job that was submitted; a record that can't be written costs no job."""
        if not key:
            return
        try:
            self._cache.add(key, job, is_named=is_named)
        except BacalhauError as error:
            self._complain(error)

    def fill(self, members: Sequence[Member]) -> list[str]:
        """Let finished jobs answer for members of a sweep; return the members' keys."""
        keys = [self.key_of(member.model) for member in members]
        hits = [self.find(key) for key in keys]
        for member, hit in zip(members, hits, strict=True):
            member.job = hit.job if hit is not None else None
            member.is_cached = hit is not None
        return keys

    def announce(self, hit: Hit, card: Card | None, *, title: str, id_only: bool) -> None:
        """Say which job answers, from when it is and how long it took: in the card, else as a line.

        The card keeps the title of its own cell.
        """
        words = hit.words(self._clock.now_ns(), title)
        if card is None:
            # Only IDs go to stdout then.
            click.echo(words, err=id_only)
            return
        card.status.cached, card.status.title = words, title

    def _complain(self, error: BacalhauError) -> None:
        if not self._has_complained:
            self._has_complained = True
            hint = f" ({error.hint})" if error.hint else ""
            click.echo(f"Note: the job runs without the cache: {error.message}{hint}", err=True)

"""Notices that a kernel or a terminal chose another cluster, or logged in to this one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bacalhau_jupyter.config.profiles import ProfileStore
from bacalhau_jupyter.config.repo import Repo

INTERVAL_S = 0.5
"""Seconds between two looks at a symbolic link: a terminal that opens after a switch must find the new cluster."""


class ChoiceWatch:
    """Looks at the selected profile from time to time.

    Parameters
    ----------
    repo
        The repo directory with the profiles.
    interval_s
        Seconds between two looks.
    """

    def __init__(self, repo: Repo, interval_s: float = INTERVAL_S) -> None:
        self._store = ProfileStore(repo.profiles_dir)
        self._interval_s = interval_s
        self._mark = self._store.mark()
        self.on_change: Callable[[], None] = lambda: None
        """Called on the event loop; it looks for the cluster anew."""

    def note(self) -> None:
        """Take the choice as it is now for known."""
        self._mark = self._store.mark()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            mark = await asyncio.to_thread(self._store.mark)
            if mark != self._mark:
                self._mark = mark
                self.on_change()

"""Waiting for the way to an engine: from threads and on the loop, for as long as the way is broken.

An engine of this machine has no link. Its gate is always open, and a call that fails is tried again for a while only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.plugins.link import HostLink, HostStatus


class DockerLink(HostLink, Protocol):
    """A link that leads to a Docker Engine."""

    @property
    def endpoint(self) -> Endpoint:
        """Where calls are made while the link is ready; stays the same."""
        ...


class Gate:
    """Open while calls to the engine can be made.

    Parameters
    ----------
    link
        The way to the engine; None for an engine of this machine.
    """

    def __init__(self, link: HostLink | None) -> None:
        self.link = link
        self._changed = threading.Condition()
        self._unwatch: Callable[[], None] | None = None if link is None else link.watch(self._on_change)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made, as far as the link knows."""
        return self.link is None or self.link.status.is_ready

    def broke(self, error: Exception) -> None:
        """Say that a call has failed; from any thread."""
        if self.link is not None:
            self.link.broke(str(error))

    async def opened(self) -> None:
        """Wait until calls can be made, however long that takes."""
        if self.link is not None:
            await self.link.ready()

    def wait(self, unless: Callable[[], bool]) -> None:
        """Block until calls can be made, or until ``unless`` holds (see `wake`)."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_open or unless())

    def wake(self) -> None:
        """Let every thread that waits look at its ``unless`` again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening to the link, which goes on."""
        if self._unwatch is not None:
            self._unwatch()

    def _on_change(self, _status: HostStatus) -> None:
        self.wake()

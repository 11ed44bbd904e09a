"""The Docker Engine of this machine, as a place that images come from. Everything here blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bacalhau_jupyter.engines.docker.carrying.plan import Image
from bacalhau_jupyter.engines.docker.connecting import NoEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon, translated
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError

ASK_AGAIN_S = 30.0
"""For so long an engine that did not answer is taken for missing."""


class NearEngine:
    """Connects when it is first needed; safe to use from several threads.

    Parameters
    ----------
    connect
        Connects to it, or raises `NoEngine` or `ConfigurationError`.
    """

    def __init__(self, connect: Callable[[], Daemon], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._lock = threading.Lock()
        self._daemon: Daemon | None = None
        self._asked_ns: int | None = None

    def daemon(self) -> Daemon | None:
        """Return the connection; None where this machine has no engine that answers."""
        with self._lock:
            now = self._clock.monotonic_ns()
            recently = self._asked_ns is not None and now - self._asked_ns < ASK_AGAIN_S * SECOND
            if self._daemon is None and not recently:
                try:
                    self._daemon = self._connect()
                except (NoEngine, ConfigurationError):
                    self._asked_ns = now
            return self._daemon

    def find(self, name: str) -> Image | None:
        """Return the image of a name, tag or ID; None where there is none, or no engine."""
        from docker.errors import APIError

        daemon = self.daemon()
        if daemon is None:
            return None
        try:
            with translated(daemon.endpoint):
                try:
                    return Image.of(daemon.api.inspect_image(name))
                except APIError:
                    return None
        except BacalhauError:
            # It has gone: as if there were none.
            return None

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.close()

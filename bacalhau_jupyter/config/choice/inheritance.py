"""How kernels and terminals learn of the connected cluster: variables that they inherit."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, MutableMapping

from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.repo import NODE_MARKER, Repo

HOST, PORT, KEY = "BACALHAU_API_HOST", "BACALHAU_API_PORT", "BACALHAU_API_KEY"
USE_TLS, AUTHORITY = "BACALHAU_API_TLS_USETLS", "BACALHAU_API_TLS_CAFILE"
DIRECTORY = "BACALHAU_DIR"


def chosen_by_user(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment without those that a Jupyter server left there for its children."""
    marked = (HOST, PORT, KEY, USE_TLS, AUTHORITY, NODE_MARKER) if environ.get(NODE_MARKER) else ()
    return {name: value for name, value in environ.items() if name not in marked}


class Inheritance:
    """Puts the address of the embedded node where kernels and terminals inherit it, and takes it back.

    Parameters
    ----------
    repo
        The repo directory.
    environ
        The environment of this process.
    """

    def __init__(self, repo: Repo, environ: MutableMapping[str, str] | None = None) -> None:
        self._repo = repo
        self._environ = os.environ if environ is None else environ
        self._is_inherited = bool(self._environ.get(USE_TLS) and self._environ.get(NODE_MARKER))
        mine = chosen_by_user(self._environ)
        self._users_address = bool(mine.get(HOST) or mine.get(PORT))
        self._users_key = bool(mine.get(KEY))
        self._before: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def publish(self, endpoint: Endpoint) -> None:
        """Set the variables; what the user has set is never overwritten.

        Only the embedded node needs them. Where a profile names the cluster, they would go before it in official
        programs, so they are taken away: all programs read the profile in the directory.
        """
        with self._lock:
            if self._users_address:
                return
            if not endpoint.embedded:
                if self._environ.get(NODE_MARKER):
                    self._remove()
                return
            host, _, port = endpoint.url.partition("://")[2].rpartition(":")
            self._set(NODE_MARKER, str(self._repo.path))
            self._set(HOST, host.strip("[]"))
            self._set(PORT, port)
            is_secure = endpoint.url.startswith("https:")
            # What another server left there for its children is overwritten, also by nothing.
            if is_secure or self._is_inherited:
                self._set(USE_TLS, "true" if is_secure else "")
                self._set(AUTHORITY, endpoint.ca_file or endpoint.certificate_file)
            if endpoint.token and not self._users_key:
                self._set(KEY, endpoint.token)

    def publish_directory(self) -> None:
        """Let children find the same repo directory, where it is not the one they would look in."""
        with self._lock:
            if Repo.locate(environ=self._environ).path != self._repo.path:
                self._set(DIRECTORY, str(self._repo.path))

    def withdraw(self) -> None:
        """Restore what was there before."""
        with self._lock:
            for name, value in self._before.items():
                if value is None:
                    self._environ.pop(name, None)
                else:
                    self._environ[name] = value
            self._before.clear()

    def _remove(self) -> None:
        """Remove the address of a node, and leave the mark: which directory these programs belong to stays."""
        for name in (HOST, PORT, USE_TLS, AUTHORITY, *(() if self._users_key else (KEY,))):
            if name in self._environ:
                self._before.setdefault(name, self._environ[name])
                del self._environ[name]

    def _set(self, name: str, value: str) -> None:
        self._before.setdefault(name, self._environ.get(name))
        self._environ[name] = value

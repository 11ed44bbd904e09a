"""How this Jupyter server finds its cluster, and how its kernels and terminals learn of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, MutableMapping, Sequence

from bacalhau_jupyter.client.connection.launcher import START_TIMEOUT_S, ensure_node
from bacalhau_jupyter.config.endpoint import Endpoint, resolve_endpoint
from bacalhau_jupyter.config.repo import NODE_MARKER, Repo
from bacalhau_jupyter.models.errors import ServiceUnavailable

HOST, PORT, KEY = "BACALHAU_API_HOST", "BACALHAU_API_PORT", "BACALHAU_API_KEY"
USE_TLS, AUTHORITY = "BACALHAU_API_TLS_USETLS", "BACALHAU_API_TLS_CAFILE"
DIRECTORY = "BACALHAU_DIR"


def find_cluster(
    repo: Repo,
    *,
    environ: Mapping[str, str],
    autostart: bool = True,
    options: Sequence[str] = (),
    timeout_s: float = START_TIMEOUT_S,
) -> Endpoint:
    """Return the connected cluster; the node of the repo is started when nothing else is configured.

    Parameters
    ----------
    repo
        The repo directory.
    environ
        The environment. Values that another Jupyter server left there for its children are not the user's choice.
    autostart
        Whether to start the node.
    options
        Further arguments of ``serve`` for a node that is started.
    timeout_s
        Seconds a node may take to start.

    Raises
    ------
    BacalhauError
        There is none: the configuration is unusable, or the node does not start.
    """
    endpoint = resolve_endpoint(repo, environ=_chosen_by_user(environ))
    if endpoint is not None:
        return endpoint
    if not autostart:
        raise ServiceUnavailable(
            f"no node runs for {repo.path}, and BacalhauApp.autostart is off",
            hint="`bacalhau-jupyter serve --orchestrator --compute` starts one",
            retryable=True,
        )
    return Endpoint.of_record(repo.create(), ensure_node(repo, timeout_s=timeout_s, options=options))


def _chosen_by_user(environ: Mapping[str, str]) -> dict[str, str]:
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
        mine = _chosen_by_user(self._environ)
        self._users_address = bool(mine.get(HOST) or mine.get(PORT))
        self._users_key = bool(mine.get(KEY))
        self._before: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def publish(self, endpoint: Endpoint) -> None:
        """Set the variables; what the user has set is never overwritten.

        Only the embedded node needs them: any other cluster was found through something children inherit anyway.
        """
        with self._lock:
            if not endpoint.embedded or self._users_address:
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

    def _set(self, name: str, value: str) -> None:
        self._before.setdefault(name, self._environ.get(name))
        self._environ[name] = value

"""The listening socket: the configured port, or for an embedded node one that it finds again."""

from __future__ import annotations

import contextlib
import errno
import socket

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import write_atomic
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError

COMPONENT = "API"

BACKLOG = 1024
_PORT_FILE = "api.port"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any.

    Raises
    ------
    ConfigurationError
        The port is in use, or the address is not one of this host.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} is in use on {host}",
                hint="Choose another port with --api-port (0 takes any free one).",
            ) from error
        raise ConfigurationError(
            f"the API can't listen on {host} port {port}: {error.strerror or error}",
            hint="Check API.Host and API.Port.",
        ) from error


def of_api(config: Config, repo: Repo, *, embedded: bool) -> socket.socket:
    """Return the listening socket of a node's API.

    Raises
    ------
    ConfigurationError
        The configured port is in use, or the address is not one of this host.
    """
    host, port = config["API.Host"], config["API.Port"]
    if not embedded or config.source("API.Port") != "default":
        return listen(host, port)
    listener = listen_embedded(host, port, repo)
    remember_port(repo, listener.getsockname()[1])
    return listener


def listen_embedded(host: str, port: int, repo: Repo) -> socket.socket:
    """Return a listening socket, preferring the port this repo's node had before: kernels remember it.

    Then come the configured port, and any.
    """
    for candidate in (remembered_port(repo), port):
        if candidate:
            with contextlib.suppress(OSError):
                return _bind(host, candidate)
    return listen(host, 0)


def remembered_port(repo: Repo) -> int:
    """Return the port that the node of this repo had last, or 0."""
    try:
        text = read_text(repo.path / _PORT_FILE).strip()
    except OSError:
        return 0
    return int(text) if text.isascii() and text.isdigit() and int(text) < 65536 else 0


def remember_port(repo: Repo, port: int) -> None:
    """Keep the port for the next start."""
    if remembered_port(repo) != port:
        write_atomic(repo.path / _PORT_FILE, f"{port}\n")


def _bind(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.getaddrinfo(name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return socket.create_server((name, port), family=family, backlog=BACKLOG)

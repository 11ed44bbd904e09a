"""Where a Docker Engine may be, in the order that Docker's own command line looks for it.

``DOCKER_HOST`` (with its TLS variables), the current Docker context, ``/var/run/docker.sock``,
``$XDG_RUNTIME_DIR/docker.sock``. What a person chose (a variable, a context) is binding: when it does not
answer, another engine is not taken silently.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.models.errors import ConfigurationError

_VERSION = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)
DEFAULT_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True)
class Tls:
    """Files of a TLS connection; ``verify`` says whether the server must prove who it is."""

    ca: Path
    cert: Path
    key: Path
    verify: bool


@dataclass(frozen=True)
class Endpoint:
    """One place to try.

    Attributes
    ----------
    url
        As in ``DOCKER_HOST``: ``unix:///…``, ``tcp://host:port``, ``ssh://user@host``.
    origin
        Who named it, for people: ``DOCKER_HOST``, ``Docker context "lab"``, ``default socket``.
    api_version
        API version to speak; empty asks the engine for its own.
    shown
        What people call the place (``host gpu1``), where that is not the URL.
    """

    url: str
    origin: str
    tls: Tls | None = None
    api_version: str = ""
    shown: str = ""

    @property
    def engine(self) -> str:
        """The engine there, for sentences."""
        return f"the Docker Engine of {self.shown}" if self.shown else f"the Docker Engine at {self.url}"

    @property
    def socket(self) -> Path | None:
        """The socket's path, for an endpoint on this host."""
        path = self.url.removeprefix("unix://")
        return Path("/", path) if path != self.url else None


def endpoints(
    env: Mapping[str, str], configuration: Configuration, default_socket: Path = DEFAULT_SOCKET
) -> tuple[Endpoint, ...]:
    """Return the endpoints to try, best first.

    Parameters
    ----------
    env
        The environment to read the variables from.
    configuration
        Docker's own, which may name a context.

    Raises
    ------
    ConfigurationError
        The chosen Docker context does not exist or can't be read, or the API version is not valid.
    """
    api_version = _api_version(env.get("DOCKER_API_VERSION", ""))
    if host := env.get("DOCKER_HOST", ""):
        return (Endpoint(host, "DOCKER_HOST", _tls_from(env, configuration), api_version),)
    context = env.get("DOCKER_CONTEXT") or configuration.text("currentContext")
    if context not in ("", "default"):
        return (from_context(context, configuration.directory, api_version),)
    sockets = [default_socket]
    if runtime_dir := env.get("XDG_RUNTIME_DIR"):
        sockets.append(Path(runtime_dir, "docker.sock"))
    return tuple(Endpoint(f"unix://{socket}", "default socket", None, api_version) for socket in sockets)


def _api_version(text: str) -> str:
    version = text.strip().removeprefix("v")
    if version and not _VERSION.fullmatch(version):
        raise ConfigurationError(
            f"DOCKER_API_VERSION is not a version: {text[:40]!r}",
            hint="Write it as 1.41, or leave it out: the engine's own is the best.",
        )
    return version


def _tls_from(env: Mapping[str, str], configuration: Configuration) -> Tls | None:
    cert_path, verify = env.get("DOCKER_CERT_PATH", ""), env.get("DOCKER_TLS_VERIFY", "")
    if not cert_path and not verify and not env.get("DOCKER_TLS"):
        return None
    folder = Path(cert_path) if cert_path else configuration.directory
    return Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify=bool(verify))


def from_context(name: str, directory: Path, api_version: str = "") -> Endpoint:
    """Return where a Docker context leads.

    Parameters
    ----------
    directory
        Docker's own directory, which holds the contexts.

    Raises
    ------
    ConfigurationError
        The context does not exist or can't be read.
    """
    identifier = hashlib.sha256(name.encode()).hexdigest()
    path = directory / "contexts" / "meta" / identifier / "meta.json"
    try:
        described: dict[str, Any] = json.loads(path.read_bytes())["Endpoints"]["docker"]
        url = str(described["Host"])
    except FileNotFoundError:
        raise ConfigurationError(
            f'the Docker context "{name}" does not exist',
            hint="`docker context ls` lists them; `docker context use default` goes back to the local engine.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(f'the Docker context "{name}" can\'t be read: {error!r}') from error
    folder = directory / "contexts" / "tls" / identifier / "docker"
    tls = None
    if any((folder / name).exists() for name in ("ca.pem", "cert.pem")):
        verify = not described.get("SkipTLSVerify", False)
        tls = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify)
    return Endpoint(url, f'Docker context "{name}"', tls, api_version)

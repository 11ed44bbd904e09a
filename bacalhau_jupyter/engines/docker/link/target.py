"""Where a Docker host is, as a person wrote it: an alias of ssh, ``ssh://``, ``tcp://`` or a socket."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, unquote, urlsplit

from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.lib.nearby import bracketed, is_loopback
from bacalhau_jupyter.models.errors import ValidationError
from bacalhau_jupyter.models.text import readable

# A word that starts with a hyphen would be an option of ssh.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+$-]*", re.ASCII)
_SOCKET = re.compile(r"/[A-Za-z0-9_./@+,=~-]+", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_./@+,=~:*%\[\] -]+", re.ASCII)
# ssh hands parts of such a value to a further ssh, which makes the jump.
_OPTION_INSIDE = re.compile(r"(?:^|[,@ ])-")
DIAL_STDIO = "dial-stdio"
"""Every connection goes through ``docker system dial-stdio``."""

# Those that only choose among what ssh does anyway. None that runs a program, loads a library, forwards something,
# or weakens which keys of hosts are trusted.
SSH_OPTIONS = frozenset(
    {
        "addressfamily",
        "bindaddress",
        "bindinterface",
        "certificatefile",
        "ciphers",
        "compression",
        "connectionattempts",
        "connecttimeout",
        "gssapiauthentication",
        "hostkeyalgorithms",
        "hostkeyalias",
        "hostname",
        "identitiesonly",
        "identityfile",
        "ipqos",
        "kexalgorithms",
        "macs",
        "port",
        "preferredauthentications",
        "proxyjump",
        "pubkeyacceptedalgorithms",
        "pubkeyauthentication",
        "rekeylimit",
        "serveralivecountmax",
        "serveraliveinterval",
        "tcpkeepalive",
        "user",
    }
)


SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""What the system's address of a socket holds, less the final zero."""


@dataclass(frozen=True)
class SshTarget:
    """A host that ssh gets to.

    Attributes
    ----------
    host
        A name, an address, or an alias of ssh's configuration.
    user, port
        Where they differ from ssh's configuration; empty and 0 otherwise.
    socket
        The engine's socket there; empty looks for it.
    options
        Further options of ssh (`SSH_OPTIONS`).
    config
        Another configuration file of ssh.
    through
        `DIAL_STDIO`, or empty: forwards the socket where the ssh server lets it.
    """

    host: str
    user: str = ""
    port: int = 0
    socket: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    config: Path | None = None
    through: str = ""

    def __post_init__(self) -> None:
        _check(_HOST, self.host, "the host name")
        if self.user:
            _check(_USER, self.user, "the user name")
        if not 0 <= self.port < 65536:
            raise ValidationError(f"the port of a Docker host must be between 1 and 65535: {self.port}")
        if self.socket:
            _check(_SOCKET, self.socket, "the path of the socket")
        for name, value in self.options.items():
            if name.lower() not in SSH_OPTIONS:
                raise ValidationError(
                    f"the ssh option {readable(name)[:60]} can't be set for a Docker host",
                    hint="Put it into ssh's own configuration (~/.ssh/config).",
                )
            _check(_VALUE, value, f"the value of the ssh option {name}")
            if _OPTION_INSIDE.search(value):
                raise ValidationError(
                    f"the value of the ssh option {name} holds an option: {readable(value)[:100]}"
                )
        if self.through not in ("", DIAL_STDIO):
            raise ValidationError(
                f"a Docker host can't be reached through {readable(self.through)[:60]!r}",
                hint=f"Leave it out, or write {DIAL_STDIO}.",
            )

    @property
    def url(self) -> str:
        """The same as Docker writes it."""
        user, port = f"{self.user}@" if self.user else "", f":{self.port}" if self.port else ""
        return f"ssh://{user}{bracketed(self.host)}{port}{self.socket}"


@dataclass(frozen=True)
class PlainTarget:
    """A socket of this machine (``unix://``) or a port (``tcp://``) that an engine listens at.

    Attributes
    ----------
    insecure
        Whether a port of another machine may be used without TLS. Whoever reaches such a port is root there.
    """

    url: str
    tls: Tls | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.tls is None and not self.insecure and not self.is_near:
            raise ValidationError(
                f"{self.url} is not protected by TLS: whoever reaches that port is root on the host",
                hint="Give the certificates (ca.pem, cert.pem, key.pem) with --tls DIRECTORY, or use ssh://.",
            )

    @property
    def is_near(self) -> bool:
        """Whether it can be reached from this machine only."""
        parts = urlsplit(self.url)
        return parts.scheme == "unix" or is_loopback(parts.hostname or "")


def ssh_target(url: str) -> SshTarget | None:
    """Return where ``ssh://…``, or an alias such as ``gpu1`` or ``alice@gpu1``, leads; None for another kind of URL.

    Raises
    ------
    ValidationError
        It is malformed, or holds what is never kept (a password).
    """
    if "://" not in url and not url.startswith("/"):
        user, _, host = url.rpartition("@")
        return SshTarget(host, user)
    parts = _split(url)
    if parts.scheme != "ssh":
        return None
    _refuse_extras(url, parts)
    return SshTarget(
        _host_as_written(parts),
        unquote(parts.username or ""),
        _port(url, parts) or 0,
        "" if parts.path in ("", "/") else unquote(parts.path),
    )


def plain_target(url: str, tls: Tls | None = None, *, insecure: bool = False) -> PlainTarget:
    """Return where ``unix:///…``, ``/path`` or ``tcp://host:port`` leads.

    Raises
    ------
    ValidationError
        It is malformed or of another kind, or leads to another machine without TLS.
    """
    if url.startswith("/"):
        url = f"unix://{url}"
    parts = _split(url)
    _refuse_extras(url, parts)
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValidationError(
                f"a socket is written unix:///path/to/docker.sock, not {readable(url)[:100]}"
            )
        if len(parts.path.encode()) > SOCKET_PATH_BYTES:
            raise ValidationError(
                f"the path of a socket has {SOCKET_PATH_BYTES} bytes at most, and this one has "
                f"{len(parts.path.encode())}",
                hint="Make a link to its directory that has a shorter path, and give that.",
            )
        return PlainTarget(f"unix://{parts.path}")
    if parts.scheme != "tcp":
        raise ValidationError(
            f"a Docker host can't be reached by {readable(url)[:100]}",
            hint="Write ssh://user@host, an alias of ~/.ssh/config, tcp://host:2376 or unix:///path/to/docker.sock.",
        )
    port = _port(url, parts)
    if not parts.hostname or port is None or parts.path not in ("", "/") or parts.username is not None:
        raise ValidationError(f"a port is written tcp://host:2376, not {readable(url)[:100]}")
    _check(_HOST, parts.hostname, "the host name")
    return PlainTarget(f"tcp://{bracketed(parts.hostname)}:{port}", tls, insecure)


def is_socket_path(path: str) -> bool:
    """Whether ssh reads a path of a socket as it is written."""
    return _SOCKET.fullmatch(path) is not None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValidationError(f"{readable(url)[:100]} is not an address: {error}") from None


def _refuse_extras(url: str, parts: SplitResult) -> None:
    if parts.password is not None:
        raise ValidationError(
            "the address of a Docker host may not hold a password",
            hint="No password is kept here: log in with a key (ssh-copy-id).",
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValidationError(f"the address of a Docker host has no ? and no #: {readable(url)[:100]}")


def _host_as_written(parts: SplitResult) -> str:
    """Return the host with its capitals, which aliases may have and `SplitResult.hostname` loses."""
    host = parts.netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(url: str, parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValidationError(f"the port in {readable(url)[:100]} is no number from 1 to 65535") from None


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        reason = f"holds what ssh would misread: {readable(value)[:100]!r}" if value else "is missing"
        raise ValidationError(f"{what} of a Docker host {reason}")

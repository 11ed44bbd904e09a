"""The way to an engine that listens itself: at a socket of this machine, or at a port, with TLS or without."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.engines.docker.connecting import causes, in_words
from bacalhau_jupyter.engines.docker.endpoints import Endpoint, Tls
from bacalhau_jupyter.engines.docker.link.asking import Asker, NotAnEngine, tls_context
from bacalhau_jupyter.engines.docker.link.fault import (
    JOBS_GO_ON,
    Fault,
    Part,
    WayClosed,
    refused,
    unreachable,
)
from bacalhau_jupyter.engines.docker.link.keeper import Link
from bacalhau_jupyter.engines.docker.link.pulse import watch_engine
from bacalhau_jupyter.engines.docker.link.target import PlainTarget
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.text import readable

_SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_WANTS_TLS = "HTTP request to an HTTPS server"


class PlainWay:
    """One attempt; see `keeper.Way`."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self._name, self._endpoint = name, endpoint
        self._asker: Asker | None = None

    async def open(self) -> str:
        tls, is_socket = self._endpoint.tls, self._endpoint.socket is not None
        context = None if tls is None else await asyncio.to_thread(self._context, tls)
        self._asker = Asker(self._endpoint, context)
        if fault := await self.check():
            raise WayClosed(fault)
        if is_socket:
            return "socket"
        return "tcp" if tls is None else "tcp with TLS"

    async def lost(self) -> Fault:
        assert self._asker is not None, "it was opened"
        fault = await watch_engine(self._asker, None, self.check)
        assert fault is not None, "nothing lies below it"
        return fault

    async def check(self) -> Fault | None:
        assert self._asker is not None, "it was opened"
        try:
            await self._asker.ping()
        except (OSError, NotAnEngine) as error:
            return explain(error, self._name, self._endpoint)
        return None

    async def info(self) -> dict[str, Any]:
        """Return what the engine tells of itself."""
        assert self._asker is not None, "it was opened"
        return await self._asker.info()

    async def run(self, script: str, timeout_s: float) -> str:
        raise NotImplementedHere(
            f"the way to {self._name} leads to its Docker Engine only, not to a shell",
            hint="Add it by ssh:// for what needs one.",
        )

    async def close(self) -> None:
        # A connection is for one call.
        self._asker = None

    def _context(self, tls: Tls) -> ssl.SSLContext:
        try:
            return tls_context(tls)
        except FileNotFoundError as error:
            reason = f"the file {error.filename} does not exist"
        except (OSError, ssl.SSLError) as error:
            reason = f"its certificates can't be used: {error}"
        raise WayClosed(
            refused(
                Part.PROGRAM,
                f"{self._name} can't be reached: {reason}",
                "ca.pem, cert.pem and key.pem have to lie in the directory that --tls names.",
            )
        )


def explain(error: BaseException, name: str, endpoint: Endpoint) -> Fault:
    """Return what is at fault where an engine does not answer. Pure."""
    chain = list(causes(error))
    if any(isinstance(cause, ssl.SSLError) for cause in chain) or _refuses_us(chain, endpoint):
        return refused(
            Part.LOGIN,
            f"{name} can't be used: {in_words(error, endpoint)}",
            "Compare ca.pem, cert.pem and key.pem with the engine's own (--tlscacert).",
        )
    if isinstance(error, NotAnEngine):
        return _no_engine(error, name, endpoint)
    path = endpoint.socket
    if path is not None:
        return _no_socket(error, name, path)
    return _no_port(chain, name, endpoint)


def _refuses_us(chain: list[BaseException], endpoint: Endpoint) -> bool:
    """Whether a server has hung up on us without a word, as some do on a certificate that they don't know."""
    hung_up = any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in chain)
    return endpoint.tls is not None and hung_up


def _no_engine(error: NotAnEngine, name: str, endpoint: Endpoint) -> Fault:
    words = readable(str(error))[:200]
    if _WANTS_TLS in words:
        return refused(
            Part.LOGIN,
            f"the port of {name} wants TLS",
            "Give its certificates: --tls DIRECTORY (ca.pem, cert.pem, key.pem).",
        )
    return refused(
        Part.ENGINE,
        f"what listens at {endpoint.url} is no Docker Engine: {words}",
        "Give the address of the engine.",
    )


def _no_socket(error: BaseException, name: str, path: Path) -> Fault:
    code = getattr(error, "errno", None)
    if isinstance(error, PermissionError) or code in (errno.EACCES, errno.EPERM):
        return refused(
            Part.SOCKET,
            f"this user may not use {path} ({name})",
            "Is he in the group of the socket (docker)?",
        )
    if code == errno.ENOENT:
        return unreachable(
            Part.SOCKET,
            f"the socket of {name}, {path}, does not exist",
            "Start its Docker Engine, or give the right socket.",
            is_engine_off=True,
        )
    return unreachable(
        Part.ENGINE,
        f"no Docker Engine answers at {path} ({name})",
        "Start it there.",
        is_engine_off=code == errno.ECONNREFUSED,
    )


def _no_port(chain: list[BaseException], name: str, endpoint: Endpoint) -> Fault:
    parts = urlsplit(endpoint.url)
    codes = {getattr(cause, "errno", None) for cause in chain}
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return unreachable(
            Part.NAME,
            f'no machine is called "{parts.hostname}" (asked for {name})',
            "Check the name, or whether the VPN is up.",
        )
    if any(isinstance(cause, TimeoutError) for cause in chain) or codes & _SILENT:
        return unreachable(
            Part.SERVER,
            f"{name} does not answer",
            JOBS_GO_ON,
            silent=True,
        )
    if errno.ECONNREFUSED in codes:
        return unreachable(
            Part.SERVER,
            f"nothing listens on port {parts.port} of {name}",
            "Start its Docker Engine, or give the right port.",
            is_engine_off=True,
        )
    words = readable(str(chain[0]))[:200]
    return unreachable(
        Part.ENGINE, f"the Docker Engine of {name} does not answer: {words}", "It is tried again."
    )


class PlainLink(Link):
    """The link to an engine that listens at a socket or a port; see `plugins.link.HostLink`.

    Parameters
    ----------
    name
        What people call the host.
    """

    def __init__(self, name: str, target: PlainTarget, *, clock: Clock) -> None:
        self.target = target
        endpoint = Endpoint(target.url, f"host {name}", target.tls, shown=f"host {name}")

        def watched() -> Iterable[Path]:
            return () if target.tls is None else (target.tls.ca, target.tls.cert, target.tls.key)

        super().__init__(name, endpoint, lambda: PlainWay(name, endpoint), clock=clock, watched=watched)

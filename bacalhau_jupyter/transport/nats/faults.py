"""What goes wrong on the way to a NATS server, as one sentence each.

A server that is full sends ``-ERR`` and closes, before TLS begins as well. Where what this end sends meets the closed
socket, or where TLS takes the sentence for a handshake, the sentence is lost. One more connection, `look`, reads it.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from urllib.parse import urlsplit

from nats import errors

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.settings import NatsSettings

LOOK_S = 1.0
"""Seconds for that connection. A server that lets it in says nothing meanwhile, except to a slow machine that it
waited too long for us (after 2 s, as a rule), which is no answer to anything."""

MOST_BYTES = 1 << 16
"""Bytes that are read of a server that does not end."""
MOST_CHARACTERS = 300
DEFAULT_PORT = 4222

_REFUSAL = re.compile(rb"(?:^|\n)-ERR ([^\r\n]*)[\r\n]")
_OWN_DOING = "authentication timeout"


class PlainTextServer(errors.Error):
    """The server offers no TLS where nothing may be sent in plain text."""


class GreetedFirst(errors.Error):
    """The server said its greeting in plain text where this end begins with TLS."""


class SubscriptionRefused(errors.Error):
    """The server does not let this client listen where it must."""


def explain(error: BaseException, place: str, settings: NatsSettings) -> BacalhauError:
    """Return the error that tells a person why there is no connection to the server at ``place``."""
    if isinstance(error, BacalhauError):
        return error
    sentence, hint, code = _told(error, place, settings)
    return DeliveryError(sentence, hint=hint, code=code, component="NATS", retryable=True)


def _told(error: BaseException, place: str, settings: NatsSettings) -> tuple[str, str, str | None]:
    server = f"the NATS server at {place}"
    if isinstance(error, PlainTextServer):
        return (
            f"{server} offers no TLS, so nothing was sent to it",
            "give that server a certificate, or take away the settings under Compute.TLS",
            None,
        )
    if isinstance(error, SubscriptionRefused):
        return f"{server} does not let {settings.name} listen: {error}", "", "Forbidden"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {server} can't be trusted: {error.verify_message}",
            "name the file of the authority that signed it: Compute.TLS.CACert",
            None,
        )
    no_tls_first = "the server may not begin with TLS: Compute.TLS.RequireTLS=false"
    # Which of the two it is depends on whether the greeting is there before the handshake begins.
    if isinstance(error, GreetedFirst) or getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
        return f"no TLS connection to {server}: it begins in plain text", no_tls_first, None
    if isinstance(error, ssl.SSLError):
        hint = no_tls_first if settings.tls_first else ""
        return f"no TLS connection to {server}: {error.reason or error}", hint, None
    if isinstance(error, socket.gaierror):
        return f"the name of {server} is not known: {error.strerror}", "", None
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return f"nothing listens at {place}", "is the orchestrator running, and open to other nodes?", None
    if isinstance(error, TimeoutError | errors.TimeoutError):
        hint = "" if settings.tls_first else "a server that begins with TLS needs Compute.TLS.RequireTLS=true"
        return f"{server} did not answer within {settings.connect_timeout_s:g}s", hint, None
    text = str(error).removeprefix("nats: ").strip().strip("'")
    lowered = text.lower()
    if isinstance(error, errors.AuthorizationError) or "authorization violation" in lowered:
        # The user and password are a node's own; it has them also where nobody gave it a token.
        if settings.token:
            return (
                f"{server} refused the token, or the node ID {settings.name}",
                "the orchestrator's person has the right token: `cluster show` there names its file; where it is "
                "right, the ID belongs to another node",
                "Unauthorized",
            )
        return (
            f"{server} asks for a token",
            "set Compute.Auth.Token; the orchestrator's person has it: `cluster show` there names its file",
            "Unauthorized",
        )
    if "authentication timeout" in lowered:
        return f"{server} did not decide in time whether {settings.name} may come in", "", None
    if "maximum connections" in lowered or "maximum account" in lowered:
        return f"{server} is full: it takes no more connections", "", "ResourceExhausted"
    if isinstance(error, errors.UnexpectedEOF | ConnectionError) or "empty response" in lowered:
        return f"{server} hung up", "is this the port for nodes (4222, as a rule), not that of the API?", None
    return f"{server} can't be used: {text or type(error).__name__}", "", None


def refusal_in(said: bytes) -> errors.Error | None:
    """Return the first refusal in what a server said, as one line of printable text."""
    refusal = _REFUSAL.search(said + b"\n")
    if refusal is None:
        return None
    text = refusal[1].decode(errors="replace")[:MOST_CHARACTERS]
    return errors.Error("".join(each if each.isprintable() else " " for each in text).strip())


def is_mute(error: BaseException) -> bool:
    """Whether a connection ended in a way that may hide a sentence of the server."""
    if isinstance(error, ConnectionRefusedError | ssl.SSLCertVerificationError):
        return False
    return isinstance(error, ConnectionError | errors.UnexpectedEOF | ssl.SSLError)


async def look(server: str) -> errors.Error | None:
    """Return why the server at an address refuses connections; None where it doesn't, or can't be reached."""
    parts = urlsplit(server)
    try:
        async with asyncio.timeout(LOOK_S):
            transport, reader = await asyncio.get_running_loop().create_connection(
                _Reader, parts.hostname or "", parts.port or DEFAULT_PORT
            )
            try:
                await reader.done
            finally:
                transport.abort()
    except (OSError, TimeoutError):
        return None
    refusal = refusal_in(bytes(reader.said))
    return None if refusal is None or _OWN_DOING in str(refusal).lower() else refusal


class _Reader(asyncio.Protocol):
    """Keeps what came before the end of a connection, however it ended; a stream drops it where it was reset."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.said += data
        if len(self.said) > MOST_BYTES or _REFUSAL.search(self.said):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

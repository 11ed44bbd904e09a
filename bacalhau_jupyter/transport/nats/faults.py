"""What goes wrong on the way to a NATS server, as one sentence each."""

from __future__ import annotations

import socket
import ssl

from nats import errors

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.settings import NatsSettings


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

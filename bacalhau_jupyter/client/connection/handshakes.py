"""What went wrong before a request could be sent or understood, where one side speaks TLS and the other does not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from bacalhau_jupyter.config.authorities import Trust
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure

COMPONENT = "Client"

SPEAKS_TLS = ("Client sent an HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port")
"""What other servers answer to plain HTTP where they speak HTTPS: Bacalhau's own, and nginx."""

# OpenSSL's numbers (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21, 24)
_OTHER_NAME = (62, 64)
_NO_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
    }
)

_PROBE_S = 10.0
"""Seconds in which a server begins a handshake, if it does."""

_NAME_CA = (
    "Copy the authority's file to this machine (a node with API.TLS.SelfSigned has it in its data directory, as "
    "tls/ca.pem). Then set API.TLS.CAFile=FILE, or use profile save NAME --ca FILE."
)


def tls_problem(url: str, error: BaseException) -> BacalhauError | None:
    """Describe a failed handshake as one sentence with a way out; None for any other failure.

    Parameters
    ----------
    url
        What was to be reached.
    error
        What the HTTP library raised, or its cause.
    """
    cause = _ssl_error(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        sentence, hint = _certificate(url, cause)
        return NetworkFailure(sentence, hint=hint)
    if cause is not None and cause.reason in _NO_TLS:
        return NetworkFailure(
            f"{url} does not speak HTTPS",
            hint="Use http:// where the way there is safe (API.TLS.UseTLS=false), or switch TLS on at the node.",
        )
    if cause is not None:
        reason = str(cause.reason or cause.strerror or cause).replace("_", " ").lower()
        return NetworkFailure(f"no encrypted connection to {url}: {reason}", retryable=True)
    return None


def speaks_tls(url: str) -> BacalhauError:
    """Describe a server that speaks HTTPS where plain HTTP was tried."""
    return NetworkFailure(
        f"{url} speaks HTTPS, not HTTP",
        hint=f"Use {url.replace('http:', 'https:', 1)} (API.TLS.UseTLS=true). {_NAME_CA}",
    )


async def told_apart(url: str, error: BacalhauError) -> BacalhauError:
    """Return what is behind a failure: many servers of HTTPS end a connection of plain HTTP without a word.

    Parameters
    ----------
    url
        Where plain HTTP (or HTTPS: then nothing is asked) was tried.
    error
        How it failed.
    """
    if url.startswith("http:") and await _begins_handshake(url):
        return speaks_tls(url)
    return error


async def _begins_handshake(url: str) -> bool:
    """Whether somebody speaks TLS there; nothing is sent beyond the handshake, and nobody is believed for it."""
    parts = urlsplit(url)
    context = Trust(insecure=True).context()
    try:
        async with asyncio.timeout(_PROBE_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
    except ssl.SSLError as error:
        # An alert is said in TLS, too.
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PROBE_S):
            await writer.wait_closed()
    return True


def _certificate(url: str, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    host = urlsplit(url).hostname or url
    code = error.verify_code
    if code in _OTHER_NAME or "ostname mismatch" in str(error):
        return (
            f"the certificate of {url} is for other names than {host}",
            "Use one of its names. A node's own certificate has API.Host, API.Names and the host's name.",
        )
    if code == _EXPIRED:
        return (
            f"the certificate of {url} has expired",
            "Its owner must renew it; or this machine's clock is wrong.",
        )
    if code == _NOT_YET_VALID:
        return f"the certificate of {url} is not valid yet", "This machine's clock may be wrong."
    if code in _UNKNOWN_AUTHORITY:
        return f"the certificate of {url} is by an authority that this client does not know", _NAME_CA
    return f"the certificate of {url} is not accepted: {error.verify_message}", _NAME_CA


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    """Return the error of OpenSSL in an error of the HTTP library, which looks like one itself."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return inner if isinstance(inner, ssl.SSLError) else None

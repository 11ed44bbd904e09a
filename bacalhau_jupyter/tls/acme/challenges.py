"""The answers by which the node proves that a name leads to it: TLS-ALPN-01 (RFC 8737) and HTTP-01 (RFC 8555)."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bacalhau_jupyter.tls.acme.account import key_pem, new_key
from bacalhau_jupyter.tls.acme.bundle import context_of
from bacalhau_jupyter.tls.acme.names import server_name
from bacalhau_jupyter.tls.hello import ACME_PROTOCOL
from bacalhau_jupyter.tls.names import general_name

TLS_ALPN = "tls-alpn-01"
HTTP = "http-01"
KINDS = (TLS_ALPN, HTTP)
PATH = "/.well-known/acme-challenge/"

_EXTENSION = "1.3.6.1.5.5.7.1.31"
_OCTET_STRING = b"\x04\x20"
_LIFETIME = timedelta(days=7)


class Answers(Protocol):
    """Holds the answers that the server will ask for."""

    @property
    def kind(self) -> str:
        """Which challenges these are answers to."""
        ...

    def put(self, name: str, token: str, authorization: str) -> None:
        """Answer for a name from now on."""
        ...

    def drop(self, name: str, token: str) -> None:
        """Stop answering."""
        ...


class TlsAlpnAnswers:
    """Answers on the port of the API: a handshake for ``acme-tls/1`` gets a certificate made for this purpose."""

    kind = TLS_ALPN

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    def put(self, name: str, token: str, authorization: str) -> None:
        """Answer for a name from now on."""
        self._contexts[server_name(name)] = context_of(_challenge_pem(name, authorization), ACME_PROTOCOL)

    def drop(self, name: str, token: str) -> None:
        """Stop answering."""
        self._contexts.pop(server_name(name), None)

    def context(self, name: str) -> ssl.SSLContext | None:
        """Return what to shake hands with for a server name; None where no such validation is under way."""
        return self._contexts.get(name.lower())


class HttpAnswers:
    """Answers to plain requests for a file below `PATH`."""

    kind = HTTP

    def __init__(self) -> None:
        self._authorizations: dict[str, str] = {}

    def put(self, name: str, token: str, authorization: str) -> None:
        """Answer for a name from now on."""
        self._authorizations[token] = authorization

    def drop(self, name: str, token: str) -> None:
        """Stop answering."""
        self._authorizations.pop(token, None)

    def authorization(self, token: str) -> str | None:
        """Return the content of the file; None where no such validation is under way."""
        return self._authorizations.get(token)


def _challenge_pem(name: str, authorization: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    key, now = new_key(), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = _OCTET_STRING + hashlib.sha256(authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([general_name(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(ObjectIdentifier(_EXTENSION), digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM).decode()

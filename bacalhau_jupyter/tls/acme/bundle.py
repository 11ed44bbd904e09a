"""A key and its chain of certificates in one PEM text, as official nodes keep them."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.text import write_text


@dataclass(frozen=True)
class Bundle:
    """A certificate that can be served.

    Attributes
    ----------
    pem
        The key, then the chain, the server's own certificate first.
    names
        What it is for: DNS names in lower case, addresses.
    starts_ns, ends_ns
        When it is valid; Unix nanoseconds.
    """

    pem: str = field(repr=False)
    names: frozenset[str]
    starts_ns: int
    ends_ns: int

    @classmethod
    def of_pem(cls, pem: str) -> Bundle:
        """Read a bundle.

        Raises
        ------
        ValueError
            It is not a private key and a chain, or they don't belong together.
        """
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        key_text, separator, _ = pem.partition("-----BEGIN CERTIFICATE")
        if "PRIVATE KEY" not in key_text or not separator:
            raise ValueError("no private key followed by certificates")
        try:
            key = serialization.load_pem_private_key(key_text.encode(), None)
            leaf = x509.load_pem_x509_certificates(pem.encode())[0]
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError("its key or a certificate can't be read") from error
        if _public(key.public_key()) != _public(leaf.public_key()):
            raise ValueError("its key belongs to another certificate")
        try:
            alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound as error:
            raise ValueError("its certificate names no host") from error
        names = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
        names |= {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
        return cls(
            pem,
            frozenset(names),
            _ns(leaf.not_valid_before_utc),
            _ns(leaf.not_valid_after_utc),
        )

    def covers(self, names: tuple[str, ...]) -> bool:
        """Whether it is for all of these names."""
        return self.names >= set(names)

    def is_valid(self, now_ns: int) -> bool:
        """Whether clients accept its dates."""
        return self.starts_ns <= now_ns < self.ends_ns

    def context(self) -> ssl.SSLContext:
        """Return a context that serves it with HTTP/1.1."""
        return context_of(self.pem, "http/1.1")


def context_of(pem: str, protocol: str) -> ssl.SSLContext:
    """Return a server's context for a key and its chain, and one protocol (ALPN)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Only files can be loaded; this one is in a directory that nobody else can enter.
    with tempfile.TemporaryDirectory(prefix="bacalhau-tls-") as directory:
        file = Path(directory) / "pair.pem"
        file.touch(0o600)
        write_text(file, pem)
        context.load_cert_chain(file)
    context.set_alpn_protocols([protocol])
    return context


def _public(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND

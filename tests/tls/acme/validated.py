"""What the tests of this folder share: a port that answers validations, and certificates of any dates."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.tls.acme.account import key_pem, new_key
from bacalhau_jupyter.tls.acme.bundle import Bundle, context_of
from bacalhau_jupyter.tls.acme.names import is_address
from bacalhau_jupyter.tls.acme.settings import AutoCertSettings
from bacalhau_jupyter.tls.hello import ACME_PROTOCOL
from tests.services.pebble import Pebble

DAY_S = 86400


def certificate(*names: str, starts_s: float, ends_s: float) -> Bundle:
    """Make a certificate that nobody vouches for; times are Unix seconds."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    hosts = [x509.IPAddress(ipaddress.ip_address(n)) if is_address(n) else x509.DNSName(n) for n in names]
    leaf = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(starts_s, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(ends_s, datetime.UTC))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Bundle.of_pem(key_pem(key) + leaf.public_bytes(serialization.Encoding.PEM).decode())


def settings_for(pebble: Pebble, directory: Path, names: str, **keys: Any) -> AutoCertSettings:
    """Return what a node that uses this server would have."""
    values = {
        **pebble.settings(),
        "API.TLS.AutoCert": names,
        "API.TLS.AutoCertHTTPPort": pebble.http_port,
        **{f"API.TLS.AutoCert{name}": value for name, value in keys.items()},
    }
    settings = AutoCertSettings.of(Config(values), directory / "cache")
    assert settings is not None
    return settings


@asynccontextmanager
async def answering(port: int, challenge: Callable[[str], ssl.SSLContext | None]) -> AsyncIterator[list[str]]:
    """Listen where validations arrive; gives the server names that were asked for."""
    names: list[str] = []

    def chosen(handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        names.append(name or "")
        context = challenge(name or "")
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        handshake.context = context
        return None

    placeholder = context_of(certificate("x.example.org", starts_s=0, ends_s=1e9).pem, ACME_PROTOCOL)
    placeholder.sni_callback = chosen
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", port, ssl=placeholder
    )
    try:
        yield names
    finally:
        server.close()

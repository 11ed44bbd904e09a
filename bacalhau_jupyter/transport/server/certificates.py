"""The certificate that the server shows: how our own client knows it, and whether it was replaced."""

from __future__ import annotations

import ssl
from pathlib import Path

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.server.settings import NatsServerSettings

Mark = tuple[tuple[int, int, int], ...]


def own_context(settings: NatsServerSettings) -> ssl.SSLContext | None:
    """Return what our own client trusts: this very certificate, whatever name it is for; None without TLS.

    It carries the name that other machines use, and is not asked for at the loopback address, so the name is no
    help. Who shows it has its key.

    Raises
    ------
    ConfigurationError
        The file holds no certificate.
    """
    if settings.cert_file is None or settings.behind_tls_proxy:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # A certificate that somebody else issued is an anchor all the same, and its dates are for others to judge.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust(context, settings)
    return context


def trust(context: ssl.SSLContext, settings: NatsServerSettings) -> None:
    """Let a context know the certificate that is in the file now, besides those that it knows.

    Raises
    ------
    ConfigurationError
        The file holds no certificate.
    """
    try:
        context.load_verify_locations(cafile=settings.cert_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"Orchestrator.TLS.ServerCert holds no certificate in PEM: {settings.cert_file}"
        ) from None


def mark(settings: NatsServerSettings) -> Mark:
    """Return what changes when one of the two files is replaced; empty without TLS."""
    return tuple(_mark(path) for path in (settings.cert_file, settings.key_file) if path is not None)


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)

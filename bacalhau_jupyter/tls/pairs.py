"""A certificate and its key on the disk: read, checked, and loaded; one sentence where they can't be used."""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CERTIFICATE, KEY = "API.TLS.CertFile", "API.TLS.KeyFile"

_SIZE_LIMIT = 1024 * 1024
_PUBLIC = "the certificate's private key can be read by other users"


@dataclass(frozen=True)
class Pair:
    """Where a certificate and its private key lie; both may be one file."""

    certificate: Path
    key: Path

    def mark(self) -> tuple[object, ...]:
        """Return what differs once a file is replaced, rewritten, or given other rights; links are followed."""
        return tuple(_mark(path) for path in (self.certificate, self.key))


@dataclass(frozen=True)
class Loaded:
    """A certificate that can be served.

    Attributes
    ----------
    context
        For new connections.
    starts_ns, ends_ns
        When it is valid.
    """

    context: ssl.SSLContext
    starts_ns: int
    ends_ns: int


def load(pair: Pair) -> Loaded:
    """Read, check and load a pair. Blocks.

    A certificate that has expired is loaded: its owner is warned, and clients say so.

    Raises
    ------
    ConfigurationError
        A file is missing or holds something else, the key is encrypted or other users can read it, or the two
        don't belong together.
    """
    chain = _chain(pair.certificate)
    key = _key(pair.key)
    if chain[0].public_key() != key.public_key():
        comes_later = any(other.public_key() == key.public_key() for other in chain[1:])
        raise ConfigurationError(
            f"the certificate {pair.certificate} does not belong to the key {pair.key}",
            hint="The server's own certificate comes first in its file, then the authorities'."
            if comes_later
            else f"Check {CERTIFICATE} and {KEY}: both must be of the same issue.",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A passphrase must never be asked for on the terminal.
        context.load_cert_chain(pair.certificate, pair.key, password="")
    except OSError as error:
        reason = str(getattr(error, "reason", "") or error.strerror or error).replace("_", " ").lower()
        raise ConfigurationError(f"the certificate {pair.certificate} can't be served: {reason}") from error
    return Loaded(
        context,
        int(chain[0].not_valid_before_utc.timestamp()) * SECOND,
        int(chain[0].not_valid_after_utc.timestamp()) * SECOND,
    )


def require_cryptography() -> None:
    """Make sure that certificates can be read and made.

    Raises
    ------
    ConfigurationError
        The package is not installed.
    """
    try:
        import cryptography.x509  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "HTTPS needs the package cryptography, which is not installed",
            hint='pip install "bacalhau-jupyter[tls]"',
        ) from error


def read_bounded(path: Path, name: str) -> bytes:
    """Return the content of a small file; ``name`` says in an error what it is for.

    Raises
    ------
    ConfigurationError
        It can't be read, is no file, or is too large.
    """
    try:
        # A pipe would be waited for without an end.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ConfigurationError(f"{name}: {path} is not a file")
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(_SIZE_LIMIT + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{name}: {path} can't be read: {reason}") from error
    if len(data) > _SIZE_LIMIT:
        raise ConfigurationError(f"{name}: {path} is too large")
    return data


def is_exposed(path: Path) -> bool:
    """Whether users other than the owner can read a file; root may share its files with a group, as it does."""
    status = path.stat()
    return bool(status.st_mode & (0o007 if status.st_uid == 0 else 0o077))


def _chain(path: Path) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(read_bounded(path, CERTIFICATE))
    except ValueError as error:
        raise ConfigurationError(
            f"{CERTIFICATE}: {path} holds no certificate",
            hint="It must be a PEM file: -----BEGIN CERTIFICATE-----",
        ) from error


def _key(path: Path) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_bounded(path, KEY)
    if is_exposed(path):
        raise ConfigurationError(f"{KEY}: {path}: {_PUBLIC}", hint=f"chmod 600 {path}")
    try:
        return load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ConfigurationError(
            f"{KEY}: {path} is encrypted, and a node can't ask for its password",
            hint=f"openssl pkey -in {path} -out PLAIN.key writes one without",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{KEY}: {path} holds no private key",
            hint="It must be a PEM file: -----BEGIN PRIVATE KEY-----",
        ) from error


def _mark(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    # The mode, too: many kernels count times in steps of 4 ms, and it may change within one.
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )

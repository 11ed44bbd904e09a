"""Whom a client believes that a server is who it says: the system's authorities, one more, or one certificate alone."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Trust:
    """How a server's certificate is checked.

    Attributes
    ----------
    insecure
        It is not: anybody between client and server can read and change everything.
    ca_file
        An authority that is believed, too.
    is_only
        Whether that authority is the only one.
    certificate_file
        The only certificate that is believed, for whatever name: the first one in this file.
    """

    insecure: bool = False
    ca_file: str = ""
    is_only: bool = False
    certificate_file: str = ""

    def context(self) -> ssl.SSLContext | bool:
        """Return the context for connections; True stands for the usual check. Equal for as long as no file changes.

        Raises
        ------
        ConfigurationError
            A file can't be read, or holds no certificate.
        """
        if not (self.insecure or self.ca_file or self.certificate_file):
            return True
        # Connections are pooled by context: a new one for each request would mean a handshake for each.
        return _made(self, _mark(self.ca_file), _mark(self.certificate_file))


def checked_authority(path: str) -> str:
    """Return the absolute path of an authority's file; whoever uses it later may stand in another directory.

    Raises
    ------
    ConfigurationError
        The file can't be read, or holds no certificate.
    """
    absolute = str(expanded(path))
    Trust(ca_file=absolute).context()
    return absolute


@functools.lru_cache(maxsize=32)
def _made(trust: Trust, *marks: object) -> ssl.SSLContext:
    del marks
    if trust.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust.certificate_file:
        context = ssl.create_default_context(cadata=_first_certificate(trust.certificate_file))
        # The certificate itself ends the chain, whoever signed it, and no other certificate is as good.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
        return context
    try:
        if trust.is_only:
            return ssl.create_default_context(cafile=trust.ca_file)
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=trust.ca_file)
    except OSError as error:
        raise _unusable(trust.ca_file, error) from error
    return context


def _first_certificate(path: str) -> str:
    try:
        text = read_text(Path(path))
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    begin, end = text.find(_BEGIN), text.find(_END)
    if begin < 0 or end < begin:
        raise _unusable(path, ValueError("it holds no certificate"))
    return text[begin : end + len(_END)]


def _unusable(path: str, error: Exception) -> ConfigurationError:
    # A file without a certificate is an `ssl.SSLError`, which is an OSError.
    is_read = isinstance(error, ssl.SSLError)
    reason = "it holds no certificate" if is_read else getattr(error, "strerror", None) or error
    return ConfigurationError(
        f"API.TLS.CAFile: {path} can't be used: {reason}",
        hint="name a PEM file with the certificate of the authority",
    )


def _mark(path: str) -> object:
    try:
        status = Path(path).stat() if path else None
    except OSError:
        return None
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

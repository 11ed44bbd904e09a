"""What the configuration says about ACME."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.acme.challenges import TLS_ALPN
from bacalhau_jupyter.tls.acme.names import KEY, names_of
from bacalhau_jupyter.tls.acme.server import host_of

COMPONENT = "Config"

VALIDATION_PORT = 443
_CONTACT = re.compile(r"[^\s@,;?&]+@[^\s@,;?&]+\.[^\s@,;?&]+")


@dataclass(frozen=True, kw_only=True)
class AutoCertSettings:
    """Which certificate is ordered, where, and how.

    Attributes
    ----------
    names
        DNS names and addresses; all are in one certificate.
    cache_dir
        Keeps the account and the certificate.
    authority
        Verifies the ACME server.
    contact
        E-mail address for the server; may be empty.
    challenge
        How names are proven.
    host, http_port
        Where HTTP-01 listens.
    profile
        Kind of certificate; empty for the usual one.
    """

    names: tuple[str, ...]
    cache_dir: Path
    directory_url: str
    authority: ssl.SSLContext
    contact: str
    challenge: str
    host: str
    http_port: int
    profile: str

    @classmethod
    def of(cls, config: Config, default_dir: Path) -> AutoCertSettings | None:
        """Read the keys; None where no certificate is asked for.

        Raises
        ------
        ConfigurationError
            A value breaks a rule.
        """
        if not config[KEY]:
            return None
        cache = config["API.TLS.AutoCertCachePath"]
        return cls(
            names=names_of(config[KEY]),
            cache_dir=expanded(cache) if cache else default_dir,
            directory_url=_directory(config["API.TLS.AutoCertDirectory"]),
            authority=_authority(config["API.TLS.AutoCertCAFile"]),
            contact=_contact(config["API.TLS.AutoCertContact"]),
            challenge=config["API.TLS.AutoCertChallenge"],
            host=config["API.Host"],
            http_port=config["API.TLS.AutoCertHTTPPort"],
            profile=config["API.TLS.AutoCertProfile"],
        )

    def remark(self, port: int) -> str:
        """Return what has to be arranged outside of this node, whose API has this port; empty where nothing has."""
        if self.challenge != TLS_ALPN or port == VALIDATION_PORT:
            return ""
        return (
            f"the ACME server connects to port {VALIDATION_PORT} of {', '.join(self.names)}: "
            f"forward it to port {port} of this host, which the API listens on"
        )


def _directory(url: str) -> str:
    try:
        host_of(url)
    except ValueError as error:
        raise ConfigurationError(
            f"API.TLS.AutoCertDirectory is not an https URL: {url!r}",
            hint="it is the address of the ACME server's directory",
        ) from error
    return url


def _authority(ca_file: str) -> ssl.SSLContext:
    if not ca_file:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=expanded(ca_file))
    except (OSError, ValueError) as error:
        holds_none = isinstance(error, ssl.SSLError)
        reason = "it holds no certificate" if holds_none else getattr(error, "strerror", None) or error
        raise ConfigurationError(f"API.TLS.AutoCertCAFile {ca_file} can't be used: {reason}") from error


def _contact(address: str) -> str:
    text = address.removeprefix("mailto:")
    if text and not _CONTACT.fullmatch(text):
        raise ConfigurationError(f"API.TLS.AutoCertContact is not an e-mail address: {address!r}")
    return text

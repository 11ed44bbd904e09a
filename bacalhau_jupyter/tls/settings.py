"""From ``API.TLS.*`` to the certificates of a node."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.acme.autocert import AutoCert
from bacalhau_jupyter.tls.acme.names import KEY as AUTO
from bacalhau_jupyter.tls.acme.names import names_of
from bacalhau_jupyter.tls.acme.serving import OrderedCertificates
from bacalhau_jupyter.tls.acme.settings import AutoCertSettings
from bacalhau_jupyter.tls.certificates import ServedCertificates
from bacalhau_jupyter.tls.front import Certificates
from bacalhau_jupyter.tls.names import names_of_host
from bacalhau_jupyter.tls.own_ca import OwnAuthority
from bacalhau_jupyter.tls.pairs import CERTIFICATE, KEY, Pair, require_cryptography

log = logging.getLogger(__name__)

_LINKS = "Publishers.Types.Local.Address"

SELF_SIGNED, CLIENTS = "API.TLS.SelfSigned", "API.TLS.UseTLS"
AUTO_DIR = "autocert-cache"
"""Where ordered certificates are kept, below the repo directory."""

_ONLY_CLIENTS = (
    f"{CLIENTS} is for clients: this node speaks plain HTTP, unless one of "
    f"{SELF_SIGNED}, {CERTIFICATE} and {AUTO} is set"
)


class WatchedCertificates(Certificates, Protocol):
    """Certificates that change while the node runs."""

    async def watch(self) -> None:
        """Renew them, or take up new ones, for as long as this runs."""
        ...

    def reload(self) -> None:
        """Look for new ones now."""
        ...


@dataclass(frozen=True)
class Encryption:
    """How a node's ports are encrypted.

    Attributes
    ----------
    certificates
        What they show.
    ca_file
        The authority that clients must trust, where it is the node's own.
    certificate_file
        The certificate itself, for clients of this machine: its names need not be loopback's.
    """

    certificates: WatchedCertificates
    ca_file: str = ""
    certificate_file: str = ""

    def for_record(self) -> dict[str, str]:
        """Return what clients of this machine need to know (`NodeRecord`)."""
        return {"scheme": "https", "ca_file": self.ca_file, "certificate_file": self.certificate_file}


@dataclass(frozen=True)
class _Files:
    """A certificate that somebody else renews."""

    files: Pair

    def pair(self) -> Pair:
        return self.files


def check(config: Config) -> None:
    """Refuse half a configuration.

    Raises
    ------
    ConfigurationError
        One of certificate and key is missing, or the package that reads them; or no certificate can be ordered with
        these keys.
    """
    certificate, key = config[CERTIFICATE], config[KEY]
    if certificate and not key:
        raise ConfigurationError(
            "invalid config: TLS cert specified without corresponding private key", hint=f"Set {KEY}, too."
        )
    if key and not certificate:
        raise ConfigurationError(
            "invalid config: private key specified without corresponding TLS certificate",
            hint=f"Set {CERTIFICATE}, too.",
        )
    if certificate or config[SELF_SIGNED] or config[AUTO]:
        require_cryptography()
    _ordered(config)


def certified_names(config: Config) -> tuple[str, ...]:
    """Return the names that a certificate is ordered for: the node's own, for browsers too."""
    return names_of(config[AUTO]) if config[AUTO] else ()


def _ordered(config: Config, repo: Repo | None = None) -> AutoCertSettings | None:
    return AutoCertSettings.of(config, Path() if repo is None else repo.path / AUTO_DIR)


def _configured(config: Config) -> Pair:
    return Pair(expanded(config[CERTIFICATE]), expanded(config[KEY]))


async def encryption_of(
    config: Config, repo: Repo, node_id: str, clock: Clock, problems: Problems
) -> Encryption | None:
    """Return how the node's ports are encrypted; None where they speak plain HTTP.

    Parameters
    ----------
    problems
        Where a certificate that can't be renewed is shown.

    Raises
    ------
    BacalhauError
        The certificate can't be served.
    """
    certificates: ServedCertificates | OrderedCertificates
    if (ordered := _ordered(config, repo)) is not None:
        authority, own = _own(config, repo, node_id, clock)
        autocert = AutoCert(ordered, clock=clock, problems=problems)
        certificates = OrderedCertificates(autocert, own, ordered.remark(config["API.Port"]))
        encryption = Encryption(certificates, ca_file=str(authority.ca_file))
    elif config[CERTIFICATE]:
        pair = _configured(config)
        certificates = ServedCertificates(_Files(pair), clock)
        encryption = Encryption(certificates, certificate_file=str(pair.certificate))
    elif config[SELF_SIGNED]:
        authority, certificates = _own(config, repo, node_id, clock)
        encryption = Encryption(certificates, ca_file=str(authority.ca_file))
    else:
        if config[CLIENTS]:
            log.warning("%s", _ONLY_CLIENTS)
        return None
    await certificates.start()
    return encryption


def _own(config: Config, repo: Repo, node_id: str, clock: Clock) -> tuple[OwnAuthority, ServedCertificates]:
    names = names_of_host((config["API.Host"], *config["API.Names"], config[_LINKS]))
    authority = OwnAuthority(repo.tls_dir, names, node_id, clock)
    return authority, ServedCertificates(authority, clock)

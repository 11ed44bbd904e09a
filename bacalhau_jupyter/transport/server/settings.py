"""What a NATS server is started with."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError

MOST_PAYLOAD = 64 << 20
"""The most that a NATS server takes, bytes."""
LEAST_PAYLOAD = 1 << 20
"""What official nodes count on, bytes."""
_LAST_PORT = 65535


@dataclass(frozen=True)
class NatsServerSettings:
    """How nodes reach the server, and what they must bring.

    Attributes
    ----------
    directory
        Where its files are kept: private to this user, and for one node only.
    server_name
        The orchestrator's node ID.
    host
        The address it listens at.
    port
        Its port; 0 for the one of the last start, or any free one.
    advertise
        ``host:port`` at which nodes find it, where that is another one; empty otherwise.
    token
        What every node must bring; empty on a loopback address only.
    max_payload
        The longest message, bytes.
    max_connections
        How many clients it takes.
    cert_file, key_file
        Its certificate with the chain, and the key; None for plain text.
    tls_timeout_s
        How long a TLS handshake may take, seconds.
    handshake_first
        Whether clients must begin with the handshake (`Compute.TLS.RequireTLS`). Others are served as well otherwise.
    behind_tls_proxy
        Whether a proxy in front does the encryption: plain text is accepted, and clients are told of TLS.
    """

    directory: Path
    server_name: str
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str = ""
    token: str = field(default="", repr=False)
    max_payload: int = 8 << 20
    max_connections: int = 65536
    cert_file: Path | None = None
    key_file: Path | None = None
    tls_timeout_s: int = 10
    handshake_first: bool = False
    behind_tls_proxy: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach it."""
        return is_loopback(self.host)

    @property
    def own_host(self) -> str:
        """Where we reach it ourselves."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
        return self.host

    def check(self) -> None:
        """Look whether a server can be started with these.

        Raises
        ------
        ConfigurationError
            One of them is wrong; the sentence names the key.
        """
        if not 0 <= self.port <= _LAST_PORT:
            raise ConfigurationError(f"Orchestrator.Port must be from 0 to {_LAST_PORT}, not {self.port}")
        if not LEAST_PAYLOAD <= self.max_payload <= MOST_PAYLOAD:
            raise ConfigurationError(
                f"Orchestrator.MaxPayload must be from {LEAST_PAYLOAD} to {MOST_PAYLOAD} bytes, "
                f"not {self.max_payload}"
            )
        if self.tls_timeout_s < 1:
            raise ConfigurationError(
                f"Orchestrator.TLS.ServerTimeout must be 1 second at least, not {self.tls_timeout_s}"
            )
        if not self.token and not self.is_local:
            raise ConfigurationError(
                f"Orchestrator.Host is {self.host}, which other machines reach, and there is no token",
                hint="Set Orchestrator.Auth.Token; `cluster open` makes one.",
            )
        self._check_pair()

    def _check_pair(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            missing = "ServerCert" if self.cert_file is None else "ServerKey"
            raise ConfigurationError(
                f"Orchestrator.TLS.{missing} is missing: a certificate and its key go together"
            )
        for name, path in (("ServerCert", self.cert_file), ("ServerKey", self.key_file)):
            if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
                raise ConfigurationError(f"Orchestrator.TLS.{name} can't be read: {path}")

"""Which orchestrator elsewhere a compute half joins, and the half's end of the link to it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import create_once, expanded
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.base import ComputeTransport
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.nats.subjects import node_inbox, subject_hash

KEY = "Compute.Orchestrators"

_SECRET_BYTES = 32


@dataclass(frozen=True)
class Elsewhere:
    """An orchestrator that is not in this process.

    Attributes
    ----------
    servers
        ``nats://host:port`` of its NATS servers, tried in turn.
    token
        The token of its cluster; empty where it asks for none.
    ca_file
        PEM file of the authority behind its certificate; None: the authorities that the system trusts.
    tls_first
        Whether the link begins with TLS, and never speaks plain text.
    """

    servers: tuple[str, ...]
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    tls_first: bool = False

    @classmethod
    def of(cls, config: Config) -> Elsewhere:
        """Read ``Compute.Orchestrators``, ``Compute.Auth`` and ``Compute.TLS``.

        Raises
        ------
        ConfigurationError
            An address is not valid, or the file of the authority can't be read.
        """
        ca_file = config["Compute.TLS.CACert"]
        there = cls(
            tuple(addressed(server) for server in config[KEY]),
            config["Compute.Auth.Token"],
            expanded(ca_file) if ca_file else None,
            config["Compute.TLS.RequireTLS"],
        )
        there.check()
        return there

    @property
    def place(self) -> str:
        """The addresses as a person named them."""
        return ", ".join(self.servers)

    @property
    def is_near(self) -> bool:
        """Whether every server is on this machine, as far as the addresses tell."""
        return all(is_loopback(urlsplit(server).hostname or "") for server in self.servers)

    def check(self) -> None:
        """Refuse what no link can be made of.

        Raises
        ------
        ConfigurationError
            In one sentence.
        """
        if not self.servers:
            raise ConfigurationError(
                "a node that only runs jobs has to know its orchestrator",
                hint=f"name it: -c {KEY}=nats://HOST:4222",
            )
        self.settings("check", "", "_INBOX")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigurationError(
                f"there is no file {self.ca_file} with the authority of the node link",
                hint="Compute.TLS.CACert names it",
            )

    def settings(self, node_id: str, secret: str, inbox_prefix: str) -> NatsSettings:
        """Return how the end of a node reaches the servers."""
        return NatsSettings(
            self.servers,
            node_id,
            token=self.token,
            user=node_id if secret else "",
            password=secret,
            inbox_prefix=inbox_prefix,
            ca_file=self.ca_file,
            tls_first=self.tls_first,
        )

    def end(self, node_id: str, repo: Repo, clock: Clock) -> ComputeTransport:
        """Return a node's end of the link.

        Raises
        ------
        BacalhauError
            The ID can't be used over NATS, or the secret of the node not be kept.
        """
        secret = own_secret(repo, node_id)
        return NatsComputeEnd(node_id, self.settings(node_id, secret, node_inbox(node_id)), clock)


def addressed(server: str) -> str:
    """Return an address as it is compared: with its scheme, which official nodes do without, too, and no slash."""
    server = server.strip().rstrip("/")
    return server if "://" in server else f"nats://{server}"


def own_secret(repo: Repo, node_id: str) -> str:
    """Return what proves that a node is the one that joined under its ID before; made at first (0600 in 0700).

    Raises
    ------
    IOFailure
        It can't be kept.
    """
    directory = repo.directory(repo.path / "node-secrets")
    return create_once(directory / subject_hash(node_id), secrets.token_urlsafe(_SECRET_BYTES)).strip()

"""How an end of the link reaches its NATS server, and how long it waits."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.models.errors import ConfigurationError

SCHEMES = ("nats", "tls")


@dataclass(frozen=True)
class NatsSettings:
    """How an end of the link reaches its NATS server, and how long it waits.

    Attributes
    ----------
    servers
        ``nats://host:port`` or ``tls://host:port``, tried in turn; never with a credential in it.
    name
        Name of the client: the node's ID.
    token
        The cluster's token; empty where the server asks for none.
    user, password
        The node's own identity beside the token; empty for none.
    inbox_prefix
        First word of the subjects on which answers arrive.
    ca_file
        PEM file of the authorities that may have signed the server's certificate, or of that certificate itself; None =
        the system's authorities.
    tls_name
        The name that the server's certificate must carry, where it is not the one in the address.
    tls_context
        Decides about certificates instead of ``ca_file``; for the orchestrator's own server.
    tls_first
        Whether the server begins with TLS instead of its greeting.
    require_tls
        Never speak plain text; a ``ca_file``, ``tls_context``, ``tls_first`` or a ``tls://`` address say so, too.
    connect_timeout_s, request_timeout_s, ack_timeout_s
        Seconds to wait for a connection, for an answer, and until the other side has stored a message.
    log_queue
        Log frames on their way per stream; a reader that is slower holds the writer back.
    ping_interval_s
        Seconds between signs of life on the connection; after three without an answer it counts as cut.
    reconnect_first_s, reconnect_limit_s
        Seconds before a lost connection is tried again: first, and at most.
    stream_heartbeat_s
        Seconds between a node's questions whether its log streams are still read.
    stream_silence_s
        Seconds after which a node that was not heard at all counts as gone for those who read its logs.
    answer_hold_s
        Seconds for which acknowledgements to a node wait after a refusal.
    lane_messages, lane_bytes
        Messages of one node that may be here unanswered, and their bytes; more are refused.
    """

    servers: tuple[str, ...]
    name: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    inbox_prefix: str = "_INBOX"
    ca_file: Path | None = None
    tls_name: str = ""
    tls_context: ssl.SSLContext | None = field(default=None, repr=False)
    tls_first: bool = False
    require_tls: bool = False
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 10.0
    ack_timeout_s: float = 30.0
    log_queue: int = 64
    ping_interval_s: float = 15.0
    reconnect_first_s: float = 0.1
    reconnect_limit_s: float = 5.0
    stream_heartbeat_s: float = 10.0
    stream_silence_s: float = 45.0
    answer_hold_s: float = 0.1
    lane_messages: int = 4096
    lane_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        if not self.servers:
            raise ConfigurationError("no address of a NATS server is configured")
        for server in self.servers:
            check_address(server)

    @property
    def needs_tls(self) -> bool:
        """Whether nothing may be sent in plain text."""
        return (
            self.require_tls
            or self.tls_first
            or self.ca_file is not None
            or self.tls_context is not None
            or any(server.startswith("tls://") for server in self.servers)
        )

    @property
    def place(self) -> str:
        """The addresses as the person named them."""
        return ", ".join(self.servers)


def check_address(server: str) -> None:
    """Check the address of a NATS server.

    Raises
    ------
    ConfigurationError
        Not ``nats://host[:port]`` or ``tls://host[:port]``, or a credential stands in it.
    """
    hint = "write nats://HOST:PORT"
    try:
        parts = urlsplit(server)
        is_address = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or any(character.isspace() for character in server):
        raise ConfigurationError(f"{server!r} is not the address of a NATS server", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"the address of the NATS server at {parts.hostname} holds a credential",
            hint="put the token into the configuration (Compute.Auth.Token) or its own file",
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(f"the address {server!r} has something after its port", hint=hint)

"""The server's configuration file, as text. NATS servers read JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from bacalhau_jupyter.transport.server.settings import NatsServerSettings

DOOR_USER = "door.keeper"
"""Our user that answers the server's questions. Node IDs have no dot, so none can be mistaken for it."""
OWN_USER = "door.orchestrator"
"""The user of the orchestrator itself."""
DOOR_ACCOUNT = "DOOR"
"""Questions about connections, with what those brought, pass in an account of their own, which no node sees."""
NODES_ACCOUNT = "NODES"
BOUNCER_USER = "door.bouncer"
"""Our user that ends connections."""
SERVER_ACCOUNT = "SYS"
"""The server's own account, over which it takes orders."""

_ANY_PORT = -1
_PING_S = 20
"""After three without an answer a connection counts as lost."""
_MAX_PENDING = 256 << 20
"""Bytes that may wait for one client, before it is cut. The orchestrator needs the time to cut who sends too much."""
_ASK_S = 10
"""How long a connection may wait for us to decide: the time that a thousand of them take at once, and more."""


@dataclass(frozen=True)
class OwnSecrets:
    """The passwords of our own users, drawn anew at each start of the node."""

    door: str = field(repr=False)
    orchestrator: str = field(repr=False)
    bouncer: str = field(repr=False)


def configuration(settings: NatsServerSettings, port: int, issuer: str, secrets: OwnSecrets) -> str:
    """Return the content of the file.

    Parameters
    ----------
    port
        Where to listen; 0 for any free one.
    issuer
        The public key of who may admit connections.
    """
    plain: dict[str, object] = {
        "host": settings.host.strip("[]"),
        "port": port or _ANY_PORT,
        "server_name": settings.server_name,
        # Lines come to our log, which has its own times.
        "logtime": False,
        "max_payload": settings.max_payload,
        "max_connections": settings.max_connections,
        "max_pending": _MAX_PENDING,
        "ping_interval": f"{_PING_S}s",
        "accounts": {
            DOOR_ACCOUNT: {"users": [{"user": DOOR_USER, "password": secrets.door}]},
            NODES_ACCOUNT: {"users": [{"user": OWN_USER, "password": secrets.orchestrator}]},
            SERVER_ACCOUNT: {"users": [{"user": BOUNCER_USER, "password": secrets.bouncer}]},
        },
        "system_account": SERVER_ACCOUNT,
        "authorization": {
            "timeout": _ASK_S,
            "auth_callout": {
                "issuer": issuer,
                "account": DOOR_ACCOUNT,
                "auth_users": [DOOR_USER, OWN_USER, BOUNCER_USER],
            },
        },
    }
    if settings.advertise:
        plain["client_advertise"] = settings.advertise
    if settings.behind_tls_proxy:
        plain["allow_non_tls"] = True
    tls = _tls(settings)
    if tls is not None:
        plain["tls"] = tls
    return json.dumps(plain, ensure_ascii=False, indent=1)


def _tls(settings: NatsServerSettings) -> dict[str, object] | None:
    if settings.cert_file is None:
        # Empty, it tells clients that TLS is to be had, as it is at the proxy.
        return {} if settings.behind_tls_proxy else None
    tls: dict[str, object] = {
        "cert_file": str(settings.cert_file),
        "key_file": str(settings.key_file),
        "timeout": settings.tls_timeout_s,
    }
    if not settings.behind_tls_proxy:
        tls["handshake_first"] = True if settings.handshake_first else "auto"
    return tls

"""How the link to other nodes is to be: from the configuration, and from what `cluster open` asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.lib.nearby import bracketed, is_every_address, is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.records.cluster import TOKEN_KEY, OpenCluster
from bacalhau_jupyter.transport.server.settings import LEAST_PAYLOAD, MOST_PAYLOAD

COMPONENT = "Cluster"

LINK, HOST, PORT = "Orchestrator.Link", "Orchestrator.Host", "Orchestrator.Port"
ADVERTISE, OUTSIDE, PAYLOAD = "Orchestrator.Advertise", "Orchestrator.NATSServer", "Orchestrator.MaxPayload"
CERTIFICATE, KEY = "Orchestrator.TLS.ServerCert", "Orchestrator.TLS.ServerKey"
TIMEOUT, AUTHORITY = "Orchestrator.TLS.ServerTimeout", "Orchestrator.TLS.CACert"
PROXY = "Orchestrator.SupportReverseProxy"

_OPENING = (HOST, PORT, ADVERTISE, OUTSIDE, CERTIFICATE, KEY, TOKEN_KEY, PROXY)
"""Who sets one of these wants the link."""
_OF_OUR_SERVER = (HOST, PORT, ADVERTISE, CERTIFICATE, KEY, PROXY)
"""What a server that somebody else runs does not learn from us."""
_HANDSHAKE_S = 10
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class LinkPlan:
    """How a link is to be.

    Attributes
    ----------
    host, port
        Where our NATS server listens; port 0 takes any.
    may_move
        Whether another port will do where this one is taken.
    advertise
        HOST or HOST:PORT that other machines dial; empty where that is for the node to find.
    outside
        The URL of a server that somebody else runs; empty for one of our own.
    token
        What nodes present; empty where they need nothing.
    certificate, key
        What our server shows; None where it speaks plain NATS.
    encrypts
        Whether it shows a certificate of the node's own authority.
    authority
        The authority that its clients trust; None for the system's, or where nothing is encrypted.
    handshake_s
        Seconds that a TLS handshake may take.
    behind_proxy
        Whether a TLS proxy is in front of it.
    max_payload
        Bytes of the largest message.
    """

    host: str = "127.0.0.1"
    port: int = 4222
    may_move: bool = False
    advertise: str = ""
    outside: str = ""
    token: str = field(default="", repr=False)
    certificate: Path | None = None
    key: Path | None = None
    encrypts: bool = False
    authority: Path | None = None
    handshake_s: int = _HANDSHAKE_S
    behind_proxy: bool = False
    max_payload: int = 8 * 1024 * 1024

    @property
    def is_public(self) -> bool:
        """Whether other machines reach the link."""
        host = urlsplit(self.outside).hostname or "" if self.outside else self.host.strip("[]")
        return not is_loopback(host)

    @property
    def is_encrypted(self) -> bool:
        """Whether the link speaks TLS, or a proxy in front of it does."""
        return self.encrypts or self.certificate is not None or self.behind_proxy

    def address(self, port: int, own_address: str) -> str:
        """Return the URL that nodes dial.

        Parameters
        ----------
        port
            Where our server listens in fact.
        own_address
            An address of this machine that others see, for a server that listens on all.
        """
        if self.outside:
            return self.outside
        host, _, other_port = split_host(self.advertise)
        if not host:
            host = bracketed(own_address if is_every_address(self.host) else self.host)
        return f"nats://{host}:{other_port or port}"


def opening_reason(config: Config) -> str:
    """Return why the configuration opens the link by itself; empty where it does not."""
    choice = config[LINK]
    if choice == "on":
        return f"{LINK}=on ({config.source(LINK)})"
    if choice == "off" or not config["Orchestrator.Enabled"]:
        return ""
    changed = [
        name for name in _OPENING if config.source(name) != "default" and (config[name] or name == PORT)
    ]
    if changed:
        return f"{changed[0]} ({config.source(changed[0])})"
    return "" if config["Compute.Enabled"] else "this node runs no jobs itself"


def plan_of(config: Config, order: OpenCluster | None, kept_token: str, *, embedded: bool) -> LinkPlan:
    """Put the plan together; what the configuration sets wins.

    Parameters
    ----------
    order
        What `cluster open` asked for; None without that.
    kept_token
        The token of the node's own file; empty where there is none.
    embedded
        Whether the node belongs to notebooks, several of which may run on this machine.

    Raises
    ------
    ConfigurationError
        A setting is wrong or two contradict each other, or other machines would reach the link without a token.
    """
    is_asked = order is not None
    order = order or OpenCluster()
    check(config)
    _check_order(config, order)
    certificate, key = config[CERTIFICATE], config[KEY]
    port_is_set = config.source(PORT) != "default"
    plan = LinkPlan(
        host=order.host or config[HOST],
        port=order.port or config[PORT],
        # A port that somebody has chosen is one that nodes were told.
        may_move=not port_is_set and not order.port and (embedded or is_asked),
        advertise=order.advertise or config[ADVERTISE],
        outside=config[OUTSIDE],
        token=config[TOKEN_KEY] or kept_token,
        certificate=expanded(certificate) if certificate else None,
        key=expanded(key) if key else None,
        encrypts=order.encrypt and not certificate,
        authority=expanded(config[AUTHORITY]) if config[AUTHORITY] else None,
        handshake_s=config[TIMEOUT] or _HANDSHAKE_S,
        behind_proxy=config[PROXY],
        max_payload=config[PAYLOAD],
    )
    if plan.is_public and not plan.token and not plan.outside:
        raise ConfigurationError(
            f"the link between nodes needs a token: {HOST} is {plan.host}, which other machines reach",
            hint=f"set {TOKEN_KEY}, or leave {HOST} out and let `cluster open --host {plan.host}` make a token",
            component=COMPONENT,
        )
    return plan


def check(config: Config) -> None:
    """Refuse settings of the link that are wrong in themselves.

    Raises
    ------
    ConfigurationError
        In one sentence.
    """
    certificate, key = config[CERTIFICATE], config[KEY]
    if bool(certificate) != bool(key):
        present, missing = (CERTIFICATE, KEY) if certificate else (KEY, CERTIFICATE)
        raise _refusal(f"{present} is set without {missing}", f"set {missing}, too")
    if not LEAST_PAYLOAD <= config[PAYLOAD] <= MOST_PAYLOAD:
        raise _refusal(
            f"{PAYLOAD} must be between {LEAST_PAYLOAD} and {MOST_PAYLOAD} bytes",
            "official nodes expect 1 MiB at least; larger inputs are uploaded",
        )
    if config[TIMEOUT] < 0:
        raise _refusal(f"{TIMEOUT} must be 0 or more seconds", "0 stands for ten")
    _check_host(HOST, config[HOST])
    _check_advertised(ADVERTISE, config[ADVERTISE])
    if config[OUTSIDE]:
        _check_outside(config)


def _check_order(config: Config, order: OpenCluster) -> None:
    for name, value in ((HOST, order.host), (PORT, order.port), (ADVERTISE, order.advertise)):
        if value and config.source(name) != "default" and value != config[name]:
            raise _refusal(
                f"{name} is {config[name]} by {config.source(name)}, so the cluster can't be opened with {value}",
                f"leave that out, or remove {name} from {config.source(name)}",
            )
    if order.port and not 0 < order.port < 65536:
        raise _refusal(f"{order.port} is no port", "ports go from 1 to 65535")
    _check_host("the address to listen on", order.host)
    _check_advertised("the advertised address", order.advertise)
    if config[OUTSIDE] and (order.host or order.port or order.advertise or order.encrypt):
        raise _refusal(
            f"nodes meet at {config[OUTSIDE]}, which this node does not run",
            f"leave the options out, or remove {OUTSIDE} from {config.source(OUTSIDE)}",
        )


def _check_host(name: str, host: str) -> None:
    if host and not _HOST.fullmatch(bracketed(host)):
        raise _refusal(
            f"{name} is not a host name or an IP address: {host!r}", "such as 127.0.0.1 or 0.0.0.0"
        )


def _check_advertised(name: str, address: str) -> None:
    host, colon, port = split_host(address)
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if address and (not _HOST.fullmatch(host) or (colon and not is_port)):
        raise _refusal(f"{name} is not HOST or HOST:PORT: {address!r}", "such as gpu-box.example:4222")


def _check_outside(config: Config) -> None:
    url, source = config[OUTSIDE], config.source(OUTSIDE)
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_server = False
    if not is_server:
        raise _refusal(f"{OUTSIDE} is not the URL of a NATS server", "such as nats://broker.example:4222")
    if parts.username or parts.password:
        raise _refusal(
            f"{OUTSIDE} holds a credential, which would show in logs and answers", f"put it into {TOKEN_KEY}"
        )
    contradicting = [name for name in _OF_OUR_SERVER if config.source(name) != "default" and config[name]]
    if contradicting:
        raise _refusal(
            f"{contradicting[0]} has no effect on the NATS server of {OUTSIDE} ({source})",
            f"remove one of the two; {contradicting[0]} is set by {config.source(contradicting[0])}",
        )


def split_host(address: str) -> tuple[str, str, str]:
    """Return host, colon and port of an address; an IPv6 address without brackets has no port."""
    address = address.strip()
    if address.count(":") > 1 and not address.startswith("["):
        return f"[{address}]", "", ""
    if address.endswith("]"):
        return address, "", ""
    host, colon, port = address.rpartition(":")
    return (host, colon, port) if colon else (address, "", "")


def _refusal(sentence: str, hint: str) -> ConfigurationError:
    return ConfigurationError(sentence, hint=hint, component=COMPONENT)

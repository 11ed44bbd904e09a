"""Multiaddresses of an IPFS node's RPC API, as Bacalhau's config writes them, to URLs."""

from __future__ import annotations

import ipaddress
import re

from bacalhau_jupyter.models.errors import ConfigurationError

_NAMES = ("dns", "dns4", "dns6", "dnsaddr")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_EXAMPLE = "write it like /ip4/127.0.0.1/tcp/5001 or /dns/ipfs.example.org/tcp/443/https"


def rpc_url(address: str, component: str = "IPFS") -> str:
    """Return the base URL (without ``/api/v0``) of the RPC API that a multiaddress means.

    Parameters
    ----------
    address
        ``/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT``, then optionally ``/http``, ``/https`` or ``/tls/http``, and a
        ``/p2p/PEER`` that says who is there (not needed for HTTP).

    Raises
    ------
    ConfigurationError
        The address is invalid; the message names the wrong part.
    """
    text = address.strip()
    if not text.startswith("/"):
        raise _wrong(text, "it does not start with /", component)
    parts = text.rstrip("/").split("/")[1:]
    if len(parts) < 2:
        raise _wrong(text, "it names no host", component)
    host = _host(text, parts[0].lower(), parts[1], component)
    if len(parts) < 4 or parts[2].lower() != "tcp":
        raise _wrong(text, "it names no TCP port after the host", component)
    port = parts[3]
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise _wrong(text, f"{port!r} is not a port", component)
    return f"{_scheme(text, parts[4:], component)}://{host}:{int(port)}"


def _host(text: str, kind: str, value: str, component: str) -> str:
    if kind in ("ip4", "ip6"):
        version = 4 if kind == "ip4" else 6
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            address = None
        if address is None or address.version != version:
            raise _wrong(text, f"{value!r} is not an IPv{version} address", component)
        return f"[{address}]" if version == 6 else str(address)
    if kind in _NAMES:
        if not _HOST_NAME.fullmatch(value):
            raise _wrong(text, f"{value!r} is not a host name", component)
        return value
    raise _wrong(text, f"{kind!r} is not ip4, ip6 or dns", component)


def _scheme(text: str, rest: list[str], component: str) -> str:
    """Return the scheme that stands after the port."""
    names = [part.lower() for part in rest]
    # Who is there: the peer ID of a libp2p connection, which this is not.
    if len(names) >= 2 and names[-2] in ("p2p", "ipfs"):
        names = names[:-2]
    if names in ([], ["http"]):
        return "http"
    if names in (["https"], ["tls", "http"]):
        return "https"
    raise _wrong(text, f"/{'/'.join(rest)} after the port is not understood", component)


def _wrong(text: str, reason: str, component: str) -> ConfigurationError:
    return ConfigurationError(
        f"the IPFS endpoint {text[:200]!r} is not a multiaddress of an RPC API: {reason}",
        hint=_EXAMPLE,
        component=component,
    )

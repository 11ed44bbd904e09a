"""What a proxy in front of the node says about a request."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

_FOR = "X-Forwarded-For"
_FORWARDED = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-cluster-client-ip",
        "x-proxycontextpath",
    }
)
_FORWARDED_PREFIXES = ("x-forwarded-", "x-original-", "x-envoy-")


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it forwards a request."""
    names = map(str.lower, headers)
    return any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES) for name in names)


def forwarded_for(headers: Mapping[str, str]) -> str:
    """Return whom the last proxy forwards a request for, as `network_of` has it; empty where it does not say.

    Whatever stands before the last address came with the request, and proves nothing.
    """
    lines = headers.getall(_FOR, []) if hasattr(headers, "getall") else [headers.get(_FOR, "")]
    last = lines[-1].rpartition(",")[2].strip() if lines else ""
    try:
        return network_of(ipaddress.ip_address(last.strip("[]")))
    except ValueError:
        return ""


def scheme_seen_by_caller(headers: Mapping[str, str], scheme: str) -> str:
    """Return the scheme of the address that the caller dialled: a proxy may have taken the TLS off.

    A page can't send this header to another site, and a client that makes it up harms only itself.
    """
    return "https" if headers.get("X-Forwarded-Proto", "").strip().lower() == "https" else scheme


def network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return by what an address is limited: its owner has a whole /64 of IPv6."""
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))

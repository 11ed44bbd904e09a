"""Which hosts a list of domains allows: upstream's rules, which are Squid's (``dstdomain``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SHOWN = 20
"""Domains that a refusal names."""


class Domains:
    """A task's ``Network.Domains``.

    ``example.com`` allows that host alone; ``.example.com`` allows it and every sub-domain; an address allows itself,
    where a request names the address.
    """

    def __init__(self, domains: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(host_of(domain) for domain in domains if domain.strip()))
        self._names = frozenset(self.names)
        self.addresses: frozenset[Address] = frozenset(
            address for name in self.names if (address := address_of(name)) is not None
        )

    def allow(self, host: str) -> bool:
        """Whether a request may name a host."""
        asked = host_of(host)
        address = address_of(asked)
        if address is not None:
            return address in self.addresses
        # A job may name as many as its spec holds: the time of an answer must not grow with them.
        wild = (asked[place:] for place, sign in enumerate(asked) if sign == ".")
        return asked in self._names or f".{asked}" in self._names or any(name in self._names for name in wild)

    def __str__(self) -> str:
        more = len(self.names) - SHOWN
        shown = ", ".join(self.names[:SHOWN])
        return f"{shown} and {more} more" if more > 0 else shown


def host_of(text: str) -> str:
    """Return a host as it is compared: lower case, without brackets and the dot of the root."""
    host = text.strip().lower().removeprefix("[").removesuffix("]")
    return host[:-1] if host.endswith(".") and len(host) > 1 else host


def address_of(host: str) -> Address | None:
    """Return the address that a host is in its usual spelling; None for names."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

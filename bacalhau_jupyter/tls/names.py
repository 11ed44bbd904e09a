"""The names and addresses of this host, and how a certificate holds one."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ELSEWHERE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Addresses that no host has (RFC 5737, 3849): the way to them shows which address of ours others see."""


def names_of_host(configured: Iterable[str]) -> tuple[str, ...]:
    """Return the names for a certificate: always loopback, then this host's, and the configured ones.

    Parameters
    ----------
    configured
        ``API.Host`` and further names; where one stands for all addresses of this host, these are taken.
        What can be no name in a certificate is left out.
    """
    names = list(_ALWAYS)
    for name in (socket.gethostname(), *configured):
        address = _address(name)
        if address is None:
            names += [name.lower().rstrip(".")] if _NAME.fullmatch(name.rstrip(".")) else []
        elif address.is_unspecified:
            names += own_addresses()
        else:
            names.append(str(address))
    return tuple(dict.fromkeys(names))


def general_name(name: str) -> GeneralName:
    """Return a name or an address in the form in which a certificate holds it."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]") or "0.0.0.0")
    except ValueError:
        return None


def own_addresses() -> list[str]:
    """Return the addresses by which other machines of the network see this one, IPv4 first."""
    addresses = []
    for elsewhere, family in _ELSEWHERE:
        try:
            # Connecting a datagram socket sends nothing.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                addresses.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return addresses

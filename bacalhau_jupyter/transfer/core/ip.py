"""IP addresses: which one a host is in any spelling, which others it carries, and which ones are not for strangers."""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable, Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")))
_COMPATIBLE = ipaddress.ip_network("::/96")
# Where clouds keep their metadata, apart from link-local addresses.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
THIS_MACHINE = "an address of this machine"


def plain_host(host: str) -> str:
    """Return a host as names are compared: lower case, without brackets, zone and final dot."""
    return host.strip("[]").partition("%")[0].rstrip(".").lower()


@functools.lru_cache(maxsize=256)
def literal_address(host: str) -> Address | None:
    """Return the address that a host is, in the spellings that the system's resolver knows (0x7f.1, 2130706433)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if host and all(part and set(part) <= set("0123456789abcdefx") for part in host.split(".")):
        try:
            return ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            return None
    return None


def forms(address: Address) -> Iterator[Address]:
    """Yield an address, and those of IPv4 that it carries: mapped, compatible, 6to4, Teredo, NAT64."""
    yield address
    if not isinstance(address, ipaddress.IPv6Address):
        return
    for carried in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
        if carried is not None:
            yield carried
    low = int(address) & 0xFFFFFFFF
    if any(address in network for network in _TRANSLATED) or (address in _COMPATIBLE and low > 1):
        yield ipaddress.IPv4Address(low)


def objection(address: Address, is_own: Callable[[Address], bool]) -> str:
    """Say what kind of forbidden address it is; empty if it is allowed."""
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return THIS_MACHINE
    if address.is_link_local:
        return "a link-local address"
    if address in _METADATA:
        return "an address of cloud metadata"
    if address.is_multicast or address in _RESERVED:
        return "a multicast or reserved address"
    return THIS_MACHINE if is_own(address) else ""


def is_own_address(address: Address) -> bool:
    """Whether an interface of this machine has the address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Sends nothing. What leaves for an address of our own leaves from it.
            probe.connect((str(address), 9))
            return ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
    except OSError:
        return False

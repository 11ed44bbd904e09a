"""Which addresses this machine may connect to if another user names them.

Services of this machine and its neighbours (a node's API, a database, a cloud's metadata) trust who connects from here;
a job's URL must not borrow that trust. What counts is the address that is connected to, so it is judged after each
look-up, and nothing is looked up again in between.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from bacalhau_jupyter.models.errors import ConfigurationError, Forbidden
from bacalhau_jupyter.models.records.uploads import is_signed_link
from bacalhau_jupyter.transfer.core.resolver import Names

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

KEY = "Compute.AllowListedAddresses"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")))
_COMPATIBLE = ipaddress.ip_network("::/96")
# Where clouds keep their metadata, apart from link-local addresses.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
_THIS_MACHINE = "an address of this machine"
_SCHEME_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class _Exception:
    """One entry of the allow-list: a name or a network, and perhaps one port."""

    name: str = ""
    network: Network | None = None
    port: int = 0

    def allows(self, host: str, port: int, address: Address | None) -> bool:
        if self.port and self.port != port:
            return False
        if self.network is None:
            return self.name == host
        return address is not None and any(form in self.network for form in _forms(address))


class Reach:
    """What may be connected to: everything but this machine, its link-local neighbours and cloud metadata.

    Parameters
    ----------
    exceptions
        Hosts, ``host:port`` or networks (``127.0.0.0/8``) that may be connected to all the same.
    lookup
        Looks names up as `socket.getaddrinfo` does; blocking.
    is_own
        Whether an address is one of this machine's.

    Raises
    ------
    ConfigurationError
        An exception is none.
    """

    def __init__(
        self,
        exceptions: Sequence[str] = (),
        *,
        lookup: Callable[..., list[Any]] = socket.getaddrinfo,
        is_own: Callable[[Address], bool] | None = None,
    ) -> None:
        self._exceptions = tuple(_parse(text) for text in exceptions if text.strip())
        self._lookup = lookup
        self._is_own = is_own or is_own_address

    @classmethod
    def of(cls, configured: object) -> Reach:
        """Return what the configured allow-list leaves."""
        return cls(tuple(map(str, configured)) if isinstance(configured, list | tuple) else ())

    def check_host(self, host: str, port: int, component: str) -> None:
        """Refuse what needs no look-up: an address in whatever spelling, and ``localhost``.

        Raises
        ------
        Forbidden
            It may not be connected to.
        """
        name = _plain(host)
        address = _literal(name)
        if address is not None:
            self._judge(name, port, address, component)
        elif name == "localhost" or name.endswith(".localhost"):
            self._judge(name, port, ipaddress.ip_address("127.0.0.1"), component)

    def check_url(self, url: str, component: str) -> None:
        """Do `check_host` for the host of a URL; a URL that has none passes."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or _SCHEME_PORTS.get(parts.scheme.lower(), 0)
        except ValueError:
            return
        self.check_host(host, port, component)

    def check_link(self, url: str, component: str) -> None:
        """Do `check_url`, but let a node's signed link lead to an address of this machine.

        Another node on this machine gives links to its uploads, and for results; without a valid signature it gives
        nothing at such a path to anybody. Names are looked up and judged as always.
        """
        try:
            address: Address | None = ipaddress.ip_address(urlsplit(url).hostname or "")
        except ValueError:
            address = None
        problems = [_problem(form, self._is_own) for form in _forms(address)] if address is not None else []
        if problems != [_THIS_MACHINE] or not is_signed_link(url):
            self.check_url(url, component)

    def addresses(self, host: str, port: int, component: str, **options: Any) -> list[Any]:
        """Return what `socket.getaddrinfo` returns, each address judged. Blocking.

        Raises
        ------
        Forbidden
            One of them may not be connected to.
        OSError
            The host does not exist.
        """
        options.setdefault("type", socket.SOCK_STREAM)
        resolved = self._lookup(host, port, **options)
        for entry in resolved:
            text = str(entry[4][0]).partition("%")[0]
            self._judge(_plain(host), port, ipaddress.ip_address(text), component)
        return resolved

    def public(self, host: str, port: int, component: str, *, named: Collection[Address] = ()) -> list[Any]:
        """Return what `addresses` returns, without the private networks around this machine. Blocking.

        Parameters
        ----------
        named
            Private addresses that may be connected to all the same.

        Raises
        ------
        Forbidden
            One of them may not be connected to.
        OSError
            The host does not exist.
        """
        resolved = self.addresses(host, port, component)
        for entry in resolved:
            address = ipaddress.ip_address(str(entry[4][0]).partition("%")[0])
            is_public = all(form.is_global for form in _forms(address))
            if not is_public and address not in named and not self._lists(_plain(host), port, address):
                where = host if _literal(_plain(host)) is not None else f"{host} leads to {address}, which"
                raise Forbidden(
                    f"{where} is an address of a private network",
                    hint=f"name the address itself, or have the node's owner add {_entry(host)}:{port} to {KEY}",
                    component=component,
                )
        return resolved

    def connect(self, host: str, port: int, timeout_s: float | None, component: str) -> socket.socket:
        """Return a connection to a host, made to the address that was judged. Blocking.

        Raises
        ------
        Forbidden
            It may not be connected to.
        OSError
            No server answers.
        """
        failure: OSError = OSError(f"{host} has no address")
        for entry in self.addresses(host, port, component):
            try:
                return socket.create_connection(entry[4][:2], timeout_s)
            except OSError as error:
                failure = error
        raise failure

    async def look(self, host: str, port: int, component: str) -> None:
        """Check where a name leads from here, when a proxy makes the connection; unknown names pass.

        Raises
        ------
        Forbidden
            It may not be connected to.
        """
        self.check_host(host, port, component)
        try:
            await self._names(component).getaddrinfo(host, port)
        except (OSError, UnicodeError):
            return

    def resolver(self, component: str) -> AbstractResolver:
        """Return what an aiohttp connector looks names up with: it gets judged addresses only."""
        from aiohttp.resolver import ThreadedResolver

        return ThreadedResolver(cast("Any", self._names(component)))

    def _names(self, component: str) -> Names:
        def lookup(host: str, port: int | str | None, **options: Any) -> list[Any]:
            return self.addresses(host, int(port or 0), component, **options)

        return Names(lookup)

    def _judge(self, host: str, port: int, address: Address, component: str) -> None:
        problem = next(
            (objection for form in _forms(address) if (objection := _problem(form, self._is_own))),
            "",
        )
        if not problem or self._lists(host, port, address):
            return
        where = f"{host} is" if _literal(host) is not None else f"{host} leads to {address},"
        raise Forbidden(
            f"{where} {problem}, which jobs may not name",
            hint=f"the node's owner can add {_entry(host)}:{port} to {KEY}",
            component=component,
        )

    def _lists(self, host: str, port: int, address: Address) -> bool:
        return any(each.allows(host, port, address) for each in self._exceptions)


def _entry(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parse(text: str) -> _Exception:
    entry = text.strip().lower()
    network = _network(entry)
    if network is not None:
        return _Exception(network=network)
    try:
        parts = urlsplit(f"//{entry}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        host, port = "", 0
    if not host or any(sign in entry for sign in "/?#@* ") or (":" in entry and not port):
        raise ConfigurationError(
            f"{KEY} holds {text!r}, which is not a host, host:port or network",
            hint="write localhost:8080, 127.0.0.1 or 127.0.0.0/8",
            component="Config",
        )
    return _Exception(name=_plain(host), network=_network(host), port=port)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _plain(host: str) -> str:
    return host.strip("[]").partition("%")[0].rstrip(".").lower()


@functools.lru_cache(maxsize=256)
def _literal(host: str) -> Address | None:
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


def _forms(address: Address) -> Iterator[Address]:
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


def _problem(address: Address, is_own: Callable[[Address], bool]) -> str:
    """Say what kind of forbidden address it is; empty if it is allowed."""
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return _THIS_MACHINE
    if address.is_link_local:
        return "a link-local address"
    if address in _METADATA:
        return "an address of cloud metadata"
    if address.is_multicast or address in _RESERVED:
        return "a multicast or reserved address"
    return _THIS_MACHINE if is_own(address) else ""


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

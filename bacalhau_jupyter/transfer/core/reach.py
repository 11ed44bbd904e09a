"""Which addresses this machine may connect to if another user names them.

Services of this machine and its neighbours (a node's API, a database, a cloud's metadata) trust who connects from here;
a job's URL must not borrow that trust. What counts is the address that is connected to, so it is judged after each
look-up, and nothing is looked up again in between.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, urlsplit

from bacalhau_jupyter.models.errors import ConfigurationError, Forbidden
from bacalhau_jupyter.models.records.uploads import is_signed_link
from bacalhau_jupyter.transfer.core.ip import (
    THIS_MACHINE,
    Address,
    forms,
    is_own_address,
    literal_address,
    objection,
    plain_host,
)
from bacalhau_jupyter.transfer.core.resolver import Names

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

KEY = "Compute.AllowListedAddresses"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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
        return address is not None and any(form in self.network for form in forms(address))


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
        An exception is not valid.
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
        name = plain_host(host)
        address = literal_address(name)
        if address is not None:
            self._judge(name, port, address, component)
        elif name == "localhost" or name.endswith(".localhost"):
            self._judge(name, port, ipaddress.ip_address("127.0.0.1"), component)

    def check_url(self, url: str, component: str) -> None:
        """Do `check_host` for the host of a URL; a URL that has none passes."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        self._check_parts(parts, component)

    def check_link(self, url: str, component: str) -> None:
        """Do `check_url`, but let a node's signed link lead to an address of this machine.

        Another node on this machine gives links to its uploads, and for results; without a valid signature it gives
        nothing at such a path to anybody. Names are looked up and judged as always.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        if not (is_signed_link(parts) and self._is_this_machine(parts)):
            self._check_parts(parts, component)

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
            self._judge(plain_host(host), port, ipaddress.ip_address(text), component)
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
            is_public = all(form.is_global for form in forms(address))
            if not is_public and address not in named and not self._lists(plain_host(host), port, address):
                where = (
                    host
                    if literal_address(plain_host(host)) is not None
                    else f"{host} leads to {address}, which"
                )
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

    def _check_parts(self, parts: SplitResult, component: str) -> None:
        try:
            host, port = parts.hostname or "", parts.port or _SCHEME_PORTS.get(parts.scheme.lower(), 0)
        except ValueError:
            return
        self.check_host(host, port, component)

    def _is_this_machine(self, parts: SplitResult) -> bool:
        """Whether a URL names an address of this machine, in its plain spelling."""
        try:
            address = ipaddress.ip_address(parts.hostname or "")
        except ValueError:
            return False
        return [objection(form, self._is_own) for form in forms(address)] == [THIS_MACHINE]

    def _judge(self, host: str, port: int, address: Address, component: str) -> None:
        reasons = (objection(form, self._is_own) for form in forms(address))
        problem = next(filter(None, reasons), "")
        if not problem or self._lists(host, port, address):
            return
        where = f"{host} is" if literal_address(host) is not None else f"{host} leads to {address},"
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
    return _Exception(name=plain_host(host), network=_network(host), port=port)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None

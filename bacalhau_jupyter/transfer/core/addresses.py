"""Which URLs may be fetched, through which proxy, and how they are shown."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.masking import MASK, mask_secrets
from bacalhau_jupyter.models.errors import BadRequest, NetworkFailure
from bacalhau_jupyter.transfer.core.ip import forms
from bacalhau_jupyter.transfer.core.resolver import Names

if TYPE_CHECKING:
    from yarl import URL


def parse_http_url(text: object, component: str = "Download") -> str:
    """Return a URL without the spaces and quotes around it.

    Raises
    ------
    BadRequest
        It is not an http or https URL, has no host, or no path at all (``http://host``; ``http://host/`` is fine).
    """
    url = text.strip().strip("\"'").strip() if isinstance(text, str) else ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequest(f"the URL {shown_url(url)!r} is broken: {error}", component=component) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise BadRequest(
            f"the URL {shown_url(url)!r} does not start with http:// or https://", component=component
        )
    if not host:
        raise BadRequest(f"the URL {shown_url(url)!r} names no host", component=component)
    if problem := _problem_of_host(url):
        raise BadRequest(f"the URL {shown_url(url)!r} is broken: {problem}", component=component)
    if not parts.path:
        raise BadRequest(
            f"the URL {shown_url(url)!r} has no path",
            hint=f"to get the start page write {parts.scheme}://{host}/",
            component=component,
        )
    return url


def _problem_of_host(url: str) -> str:
    """Say why a URL can't be asked although it has the form of one; "" where it can."""
    # What asks it knows best; kernels load that before their first download, not earlier.
    from yarl import URL

    try:
        host = URL(url).host or ""
        # As the system's resolver will.
        host.encode("idna")
    except ValueError as error:
        return str(error)
    if any(sign.isspace() or not sign.isprintable() for sign in host):
        return "no host has such a name"
    return ""


def shown_url(url: str) -> str:
    """Return a URL fit for messages: without password and query, which may be secrets."""
    head, _, tail = url.partition("://")
    if not tail:
        # Without a scheme it is no URL, but may hold a password all the same.
        return url.rpartition("@")[2][:200]
    plain = mask_secrets(url).partition("://")[2]
    if plain != tail:
        tail = plain.removeprefix(f"{MASK}@")
    authority, slash, path = tail.partition("/")
    authority = authority.rpartition("@")[2].partition("?")[0]
    path, question, _ = path.partition("#")[0].partition("?")
    return f"{head}://{authority}{slash}{path[:200]}{'?…' if question else ''}"


def proxy_for(url: URL) -> str | None:
    """Return the proxy that the environment names for a URL (``HTTPS_PROXY``, ``NO_PROXY`` …); None for this machine.

    Passwords of ``~/.netrc`` are not looked at: a URL may come from another user.
    """
    # A large module that a kernel need not load before the first download.
    from urllib.request import getproxies, proxy_bypass

    host = url.host or ""
    proxy = getproxies().get(url.scheme)
    if not proxy or _is_local_name(host) or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_local_name(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def refuse_inward(origin: URL, target: URL, component: str, *, names: Names | None = None) -> None:
    """Refuse a redirect from somewhere else to this machine itself or its link-local neighbours.

    Services there (a node's API, a cloud's metadata) trust who connects from here; a stranger's redirect must
    not borrow that trust. Names are resolved once more when connecting, so this stops redirects, not a name
    server that changes its mind between the two.

    Parameters
    ----------
    names
        Looks names up; the system's resolver by default.

    Raises
    ------
    NetworkFailure
        The redirect leads inward.
    """
    names = names or Names()
    # A stranger's name server may add an address of this machine to its own.
    if True in await _inward(target, names) and await _inward(origin, names) != {True}:
        raise NetworkFailure(
            f"{shown_url(str(origin))} redirects to an address of this machine, which is not followed",
            component=component,
        )


async def _inward(url: URL, names: Names) -> set[bool]:
    """Return whether the addresses of a URL's host are inward; nothing where it has none."""
    try:
        addresses = await names.getaddrinfo(url.host or "", url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {_is_inward(str(entry[4][0])) for entry in addresses}


def _is_inward(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    return any(form.is_loopback or form.is_link_local or form.is_unspecified for form in forms(address))

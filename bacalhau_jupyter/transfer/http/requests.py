"""One HTTP request through its redirects, each hop seen and checked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, proxy_for, refuse_inward, shown_url
from bacalhau_jupyter.transfer.core.resolver import resolver
from bacalhau_jupyter.transfer.http.pace import TooSlow

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout
    from yarl import URL

    from bacalhau_jupyter.transfer.core.reach import Reach

T = TypeVar("T")

COMPONENT = "Download"
_MAX_REDIRECTS = 10
_CONNECT_TIMEOUT_S = 30.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


async def content_length(
    url: str, *, session: ClientSession | None = None, timeout_s: float = 10.0, reach: Reach | None = None
) -> int | None:
    """Ask with HEAD how long a file is; None when the server does not say so within ``timeout_s`` seconds.

    Raises
    ------
    BadRequest
        The URL is not an http or https URL with a path.
    """
    return await _ask_head(url, session, timeout_s, _length, reach)


async def content_tag(
    url: str, *, session: ClientSession | None = None, timeout_s: float = 10.0, reach: Reach | None = None
) -> str:
    """Ask with HEAD for a strong ETag, which stands for one content of this URL; empty when there is none to be had.

    A weak one may stand for bytes that differ, and what is ``no-store`` is not to be kept.

    Raises
    ------
    BadRequest
        The URL is not an http or https URL with a path.
    """
    return await _ask_head(url, session, timeout_s, _kept_tag, reach) or ""


async def _ask_head(
    url: str,
    session: ClientSession | None,
    timeout_s: float,
    read: Callable[[ClientResponse], T | None],
    reach: Reach | None,
) -> T | None:
    """Return what ``read`` finds in a successful answer to HEAD; None when no such answer comes in time."""
    import aiohttp

    url = parse_http_url(url, COMPONENT)
    try:
        async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
            if session is None:
                session = await stack.enter_async_context(open_session(reach))
            headers = {"Accept-Encoding": "identity"}
            async with request(session, "HEAD", url, headers, timeout_s, reach) as (answer, _):
                return read(answer) if answer.status == 200 else None
    except (TimeoutError, aiohttp.ClientError, OSError, BacalhauError):
        return None


def _length(answer: ClientResponse) -> int | None:
    # aiohttp knows no length of a body that HEAD leaves out; the header is what counts.
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _kept_tag(answer: ClientResponse) -> str | None:
    tag = answer.headers.get("ETag", "")
    may_keep = "no-store" not in answer.headers.get("Cache-Control", "").lower()
    return tag if may_keep and is_strong(tag) else None


def is_strong(tag: str) -> bool:
    """Whether an ETag stands for the same bytes always."""
    return _STRONG_ETAG.fullmatch(tag) is not None


def open_session(reach: Reach | None = None) -> ClientSession:
    """Open a session that saves what is sent and knows no credentials; close it.

    Parameters
    ----------
    reach
        What names may lead to; None: anywhere. `request` has to get it too.
    """
    import aiohttp

    names = resolver() if reach is None else reach.resolver(COMPONENT)
    connector = aiohttp.TCPConnector(resolver=names)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


@asynccontextmanager
async def request(
    session: ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str],
    read_timeout_s: float,
    reach: Reach | None = None,
    *,
    form: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[ClientResponse, int]]:
    """Send a request and follow redirects; yield the last answer and the number of hops to it.

    ``headers`` that are not ours go to the URL's own origin only.

    Parameters
    ----------
    reach
        What each hop may lead to; None: anywhere. The session was opened with it.
    form
        Sent as the body, to the URL itself only: no redirect is followed.

    Raises
    ------
    Forbidden
        A hop is out of reach.
    NetworkFailure
        A redirect leads nowhere sensible, to this machine from elsewhere, or in circles.
    TooSlow
        The head of an answer comes in pieces, and is not whole in time.
    """
    from yarl import URL

    origin = here = URL(url)
    for hops in range(_MAX_REDIRECTS + 1):
        sent = headers if here.origin() == origin.origin() else _without_secrets(headers)
        proxy, asking = proxy_for(here), session
        async with AsyncExitStack() as stack:
            if reach is not None:
                reach.check_link(str(here), COMPONENT)
                if proxy is not None:
                    # The proxy looks the name up, and may itself be on this machine.
                    await reach.look(here.raw_host or "", here.port or 0, COMPONENT)
                    asking = await stack.enter_async_context(open_session())
            asked = asking.request(
                method,
                here,
                headers=sent,
                data=form,
                allow_redirects=False,
                auto_decompress=False,
                proxy=proxy,
                timeout=_timeout(read_timeout_s),
            )
            answer = await _head_in_time(stack.enter_async_context(asked), read_timeout_s)
            location = answer.headers.get("Location", "") if answer.status in _REDIRECTS else ""
            if not location or form is not None:
                yield answer, hops
                return
        here = await _next_hop(here, location)
    raise NetworkFailure(f"GET {shown_url(url)} was redirected more than {_MAX_REDIRECTS} times")


async def _head_in_time(head: Awaitable[ClientResponse], read_timeout_s: float) -> ClientResponse:
    limit_s = _connect_timeout(read_timeout_s) + read_timeout_s
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await head
    except TimeoutError as error:
        if limit.expired():
            raise TooSlow(f"sent no whole answer for {limit_s:g} s") from error
        raise


async def _next_hop(here: URL, location: str) -> URL:
    from yarl import URL

    try:
        there = here.join(URL(location))
        parse_http_url(str(there), COMPONENT)
    except (ValueError, BacalhauError):
        raise NetworkFailure(
            f"{shown_url(str(here))} redirects to something that is not an http or https URL",
        ) from None
    await refuse_inward(here, there, COMPONENT)
    return there


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Keep only what this module itself sends: a caller's headers may hold credentials."""
    ours = {"accept-encoding", "range", "if-range"}
    return {name: value for name, value in headers.items() if name.lower() in ours}


def _connect_timeout(read_timeout_s: float) -> float:
    return min(_CONNECT_TIMEOUT_S, read_timeout_s)


def _timeout(read_timeout_s: float) -> ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None, connect=_connect_timeout(read_timeout_s), sock_read=read_timeout_s
    )

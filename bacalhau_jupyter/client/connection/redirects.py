"""Keeps whoever talks to a cluster from being sent elsewhere by an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import NetworkFailure

if TYPE_CHECKING:
    import aiohttp


def no_redirects(who: str) -> aiohttp.TraceConfig:
    """Return what keeps a session from following redirects: websockets have no option for it.

    Parameters
    ----------
    who
        Whose session it is, for the sentence.
    """
    import aiohttp

    async def refuse(*_: object) -> None:
        raise NetworkFailure(f"the cluster answered with a redirect, which {who} does not follow", status=502)

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace

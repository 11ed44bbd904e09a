"""Requests that only the node's own user may make, from a program on the node's machine."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.callers import principal_of
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.principals import OWNER
from bacalhau_jupyter.models.errors import Forbidden


async def own_user_only(access: Access, request: web.Request, doing: str, *, hint: str) -> None:
    """Refuse everybody but the node's own user behind its socket.

    Raises
    ------
    Forbidden
        Somebody else asks, or a key alone.
    """
    trusted = await access.is_trusted(request.headers, request.transport)
    # A valid credential of another user counts, also on a trusted socket.
    if not trusted or principal_of(request) != OWNER:
        raise Forbidden(
            f"only a program of the node's own user on its machine may {doing}; a key is not enough",
            hint=hint,
        )

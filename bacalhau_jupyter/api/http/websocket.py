"""Websockets that push: one task sends, one watches for the close, both end together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from weakref import WeakSet

from aiohttp import WSCloseCode, web

from bacalhau_jupyter.api.http import answers
from bacalhau_jupyter.api.http.callers import principal_of
from bacalhau_jupyter.auth.principals import OWNER, Principal
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ResourceExhausted

log = logging.getLogger(__name__)

HEARTBEAT_S = 25.0
"""Seconds between pings; a client that does not answer one within half of that is cut off."""
CLOSE_TIMEOUT_S = 5.0
INCOMING_LIMIT = 64 * 1024
"""Bytes of a client's message; clients have nothing to say here."""

SOCKET_LIMIT: web.AppKey[int] = web.AppKey("socket_limit", int)
"""Websockets that may be open at once."""
OPEN_SOCKETS: web.AppKey[WeakSet[web.WebSocketResponse]] = web.AppKey("open_sockets")
_HOLDER: web.ResponseKey[Principal] = web.ResponseKey("holder", Principal)


@dataclass(frozen=True)
class _End:
    """What a close frame says."""

    code: WSCloseCode
    message: bytes = b""


async def accept(request: web.Request) -> web.WebSocketResponse:
    """Upgrade the request.

    Raises
    ------
    BadRequest
        The request is not a websocket request.
    ResourceExhausted
        Too many are open.
    """
    holder = principal_of(request)
    limit = request.app.get(SOCKET_LIMIT)
    if limit is not None:
        _check_room(request.app[OPEN_SOCKETS], holder, limit)
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, timeout=CLOSE_TIMEOUT_S, max_msg_size=INCOMING_LIMIT, compress=False
    )
    if not socket.can_prepare(request):
        raise BadRequest(
            f"{request.path} is a websocket, and this is an ordinary request",
            hint="Connect with a websocket client (ws://).",
        )
    await socket.prepare(request)
    socket[_HOLDER] = holder
    request.app[OPEN_SOCKETS].add(socket)
    return socket


async def push(request: web.Request, frames: AsyncIterator[str]) -> web.WebSocketResponse:
    """Send every frame, then close with 1000.

    Each write waits until the client has taken what came before, so a slow reader holds back the source instead
    of filling memory. `ResourceExhausted` from the source closes with 1013 ("try again later").
    """
    socket = await accept(request)
    sender = asyncio.create_task(_send(socket, frames), name=f"push {request.path}")
    # Ends when the client closes or dies (no pong).
    watcher = asyncio.create_task(_until_closed(socket), name=f"watch {request.path}")
    try:
        await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        request.app[OPEN_SOCKETS].discard(socket)
        is_over = sender.done()
        for task in (sender, watcher):
            task.cancel()
        await asyncio.gather(sender, watcher, return_exceptions=True)
    if is_over and (end := sender.result()) is not None:
        # Nobody else reads now, so this waits for the client's answer. A connection that is gone before it arrives is
        # reset, and what the client has not read by then is lost: behind a proxy, the end of a log.
        await socket.close(code=end.code, message=end.message)
    return socket


async def hold(request: web.Request, greeting: str) -> web.WebSocketResponse:
    """Send one frame, then keep the socket open until the client goes."""
    socket = await accept(request)
    try:
        with contextlib.suppress(ConnectionError):
            await socket.send_str(greeting)
        async for _ in socket:
            pass
    finally:
        request.app[OPEN_SOCKETS].discard(socket)
    return socket


async def close_all(app: web.Application) -> None:
    """Close what is still open, at shutdown: 1001 says to a follower that its stream is not complete."""
    sockets = app[OPEN_SOCKETS]
    closing = [
        socket.close(code=WSCloseCode.GOING_AWAY, message=b"the node goes down") for socket in tuple(sockets)
    ]
    await asyncio.gather(*closing, return_exceptions=True)


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


def _check_room(open_sockets: WeakSet[web.WebSocketResponse], holder: Principal, limit: int) -> None:
    """Refuse one socket more: of the node, or of a user who has half of all (the owner may have them all)."""
    share = max(1, limit // 2)
    if len(open_sockets) >= limit:
        sentence = f"this node has {limit} streams open, as many as it may"
    elif holder != OWNER and sum(socket[_HOLDER] == holder for socket in open_sockets) >= share:
        sentence = f"{holder.called} has {share} streams of this node open, as many as one user may"
    else:
        return
    raise ResourceExhausted(
        sentence, hint="Close some notebooks or followers, or raise the limit of open files."
    )


async def _send(socket: web.WebSocketResponse, frames: AsyncIterator[str]) -> _End | None:
    """Send all frames; return how the stream ends, or None where the client has gone."""
    try:
        async for frame in frames:
            await socket.send_str(frame)
        return _End(WSCloseCode.OK)
    except ResourceExhausted as error:
        return _End(WSCloseCode.TRY_AGAIN_LATER, _reason(error))
    except BacalhauError as error:
        return _End(WSCloseCode.INTERNAL_ERROR, _reason(error))
    except ConnectionError:
        return None
    except Exception as error:
        log.exception("a stream failed: %s", error)
        return _End(WSCloseCode.INTERNAL_ERROR, answers.internal_error().message.encode())
    finally:
        close = getattr(frames, "aclose", None)
        if close is not None:
            await close()


def _reason(error: BacalhauError) -> bytes:
    """Return what fits a close frame: 123 bytes of whole characters."""
    return error.message.encode()[:123].decode("utf-8", "ignore").encode()

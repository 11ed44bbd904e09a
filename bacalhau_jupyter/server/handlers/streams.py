"""The websockets of the cluster, passed: logs of a job, and events."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.server.gateway.paths import Target
from bacalhau_jupyter.server.handlers.base import GatewayMixin

log = logging.getLogger(__name__)

INCOMING_LIMIT = 64 * 1024
"""Bytes of a browser's message; browsers have nothing to say on these streams."""
STREAM_LIMIT = 200
"""Streams at the same time, over all users of this Jupyter server."""

GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1011, 1013
_NO_STATUS = 1005
_NEVER_SENT = (1006, 1015)


class GatewayStreamHandler(WebSocketMixin, WebSocketHandler, GatewayMixin):
    """Passes one stream.

    Frames wait until the browser has taken what came before, so a slow reader holds back the cluster. The close
    code is the cluster's own: only 1000 says that the stream is complete.
    """

    SUPPORTED_METHODS = ("GET",)

    _target: Target | None = None
    _relay: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        """Bytes of a browser's message."""
        return INCOMING_LIMIT

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Check who asks for what, then upgrade."""
        try:
            target = self.target()
            await self.authorize("read")
            if not target.is_stream:
                raise BadRequest("the gateway does not pass this stream")
            if self.request.headers.get("Upgrade", "").lower() != "websocket":
                raise BadRequest(f"{target.path} is a websocket")
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self._target = target
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Start to pass frames."""
        super().open(*args, **kwargs)
        relays = self.gateway.streams
        if len(relays) >= STREAM_LIMIT:
            self.close(TRY_AGAIN_LATER, "too many streams are open")
            return
        self._relay = asyncio.create_task(self._pass(), name=f"gateway stream {self.request.path}")
        relays.add(self._relay)
        self._relay.add_done_callback(self._ended)

    def on_message(self, message: str | bytes) -> None:
        """Ignore what a browser says: these streams flow one way."""

    def on_close(self) -> None:
        """Close the cluster's side when the browser has gone."""
        if self.ping_callback is not None:
            self.ping_callback.stop()
        if self._relay is not None:
            self._relay.cancel()

    async def _pass(self) -> None:
        assert self._target is not None
        try:
            async with self.gateway.upstream.stream(self._target) as source:
                code, reason = await self._frames(source)
        except WebSocketClosedError:
            return
        except BacalhauError as error:
            code, reason = TRY_AGAIN_LATER if error.retryable else INTERNAL_ERROR, error.message
        except Exception:
            log.exception("a stream failed")
            code, reason = INTERNAL_ERROR, "the gateway failed; see Jupyter's log"
        self.close(code, _fitting(reason))

    def _ended(self, relay: asyncio.Task[None]) -> None:
        self.gateway.streams.discard(relay)
        if relay.cancelled():
            # Perhaps before it began. The browser has gone, or Jupyter shuts down; then tell it so.
            self.close(GOING_AWAY, "the gateway is shutting down")

    async def _frames(self, source: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
        """Pass frames until the cluster ends the stream; return its close code and reason."""
        while True:
            message = await source.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                await self.write_message(message.data, binary=message.type is aiohttp.WSMsgType.BINARY)
            elif message.type is aiohttp.WSMsgType.CLOSE:
                code = int(message.data or _NO_STATUS)
                return (None if code == _NO_STATUS else code), message.extra or ""
            else:
                # Closed without a closing handshake, a frame over the limit, no pong.
                code = source.close_code or INTERNAL_ERROR
                return INTERNAL_ERROR if code in _NEVER_SENT else code, "the cluster's stream broke off"


def _fitting(reason: str) -> str:
    """Return what fits a close frame: 123 bytes of whole characters."""
    return reason.encode()[:123].decode("utf-8", "ignore")

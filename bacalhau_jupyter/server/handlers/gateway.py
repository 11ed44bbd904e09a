"""``<base_url>bacalhau/api/v1/…``: ordinary requests, passed to the connected cluster."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
from tornado import web

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NetworkFailure
from bacalhau_jupyter.server.gateway import headers, links
from bacalhau_jupyter.server.gateway.paths import Target
from bacalhau_jupyter.server.gateway.upload import Upload
from bacalhau_jupyter.server.handlers.base import GatewayAPIHandler

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

CHUNK = 64 * 1024
STALL_TIMEOUT_S = 300.0
"""Seconds that a browser may take for one chunk before its download is given up."""
LIST_LIMIT = 16 * 1024 * 1024
"""Bytes of a ``/results`` answer, the only kind that is read as a whole."""


@web.stream_request_body
class GatewayHandler(GatewayAPIHandler):
    """Passes one request. Bodies flow through in both directions and are never here as a whole."""

    SUPPORTED_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS")

    _exchange: asyncio.Task[tuple[aiohttp.ClientResponse, Endpoint]] | None = None
    _upload: Upload | None = None
    _target: Target | None = None
    _received = False

    async def prepare(self) -> None:  # type: ignore[override]
        """Check who asks for what, then open the way to the cluster: the body is about to arrive."""
        await super().prepare()
        if self._finished or self.request.method == "OPTIONS":
            return
        if self.current_user is None:
            raise web.HTTPError(403)
        try:
            target = self.target()
            await self.authorize(target.action(self.request.method or ""))
            self._upload = self._expected_body()
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self._target = target
        self._exchange = asyncio.create_task(
            self.gateway.upstream.request(
                self.request.method or "", target, self.request.headers, self._upload
            ),
            name=f"gateway {self.request.method} {target.path}",
        )
        if self._upload is not None:
            self._exchange.add_done_callback(self._stop_upload)

    def _stop_upload(self, _: object) -> None:
        if self._upload is not None:
            self._upload.abandon()

    def _expected_body(self) -> Upload | None:
        length = self.request.headers.get("Content-Length")
        if length is not None:
            # Tornado lets several through, which may mean one thing here and another one at the cluster.
            if not (length.isascii() and length.isdigit()) or len(length) > 18:
                raise BadRequest("the request's Content-Length is not one number")
            return Upload(int(length)) if int(length) else None
        return Upload() if "Transfer-Encoding" in self.request.headers else None

    async def data_received(self, chunk: bytes) -> None:
        """Pass a piece of the body on; the browser waits while the cluster is behind."""
        if self._upload is not None:
            await self._upload.put(chunk)

    @web.authenticated
    async def get(self, *_: Any) -> None:
        """Pass a reading request."""
        await self._pass()

    @web.authenticated
    async def put(self, *_: Any) -> None:
        """Pass a submission or a change."""
        await self._pass()

    @web.authenticated
    async def post(self, *_: Any) -> None:
        """Pass a submission or a change."""
        await self._pass()

    @web.authenticated
    async def delete(self, *_: Any) -> None:
        """Pass a stop or a removal."""
        await self._pass()

    def send_envelope(self, error: BacalhauError) -> None:
        """Answer with the error envelope; a connection on which a body may still come is not used again."""
        if not self._received:
            self.set_header("Connection", "close")
        super().send_envelope(error)

    async def _pass(self) -> None:
        self._received = True
        exchange, target = self._exchange, self._target
        if exchange is None or target is None:
            # `prepare` lets nothing come here without both; a verb that got past it must not get further.
            raise web.HTTPError(403)
        if self._upload is not None:
            await self._upload.end()
        try:
            answer, endpoint = await asyncio.shield(exchange)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        except asyncio.CancelledError:
            if exchange.cancelled():
                return  # the browser has gone
            raise
        try:
            await self._relay(answer, endpoint, target)
        except BacalhauError as error:
            self.send_envelope(error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Half an answer must not look like a whole one: no proper end, the connection breaks off.
            self.log.warning("bacalhau gateway: %s broke off: %r", target.path, error)
            if not self._finished:
                with contextlib.suppress(AttributeError):
                    self.detach().close()
        finally:
            answer.close()

    async def _relay(self, answer: aiohttp.ClientResponse, endpoint: Endpoint, target: Target) -> None:
        if 300 <= answer.status < 400:
            raise NetworkFailure(
                f"the cluster answered with a redirect (HTTP {answer.status}), which the gateway does not pass",
                status=502,
            )
        if target.is_results_list and answer.status == 200:
            body = links.lead_through_gateway(await _whole(answer), endpoint.url, self.prefix)
            self._copy_head(answer, target)
            self.finish(body, set_content_type="application/json")
            return
        self._copy_head(answer, target)
        if answer.content_length is not None:
            self.set_header("Content-Length", str(answer.content_length))
        async for chunk in answer.content.iter_chunked(CHUNK):
            self.write(chunk)
            async with asyncio.timeout(STALL_TIMEOUT_S):
                await self.flush()
        self.finish(set_content_type=self._headers["Content-Type"])

    def _copy_head(self, answer: aiohttp.ClientResponse, target: Target) -> None:
        self.set_status(answer.status, answer.reason or "Unknown")
        download = target.segments[-1] if target.is_result_file and answer.status in (200, 206) else ""
        for name, value in headers.from_cluster(answer.headers, download):
            self.set_header(name, value)

    def on_connection_close(self) -> None:
        """Let go of the cluster when the browser has gone: half a body must not arrive as a whole one."""
        super().on_connection_close()
        self._let_go()

    def on_finish(self) -> None:
        """Let go of the cluster when the request is over for whatever reason."""
        self._let_go()

    def _let_go(self) -> None:
        self._stop_upload(None)
        exchange = self._exchange
        if exchange is None:
            return
        if not exchange.done():
            exchange.cancel()
        elif not exchange.cancelled() and exchange.exception() is None:
            exchange.result()[0].close()


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > LIST_LIMIT:
            raise NetworkFailure("the cluster's list of results is too long for the gateway", status=502)
    return bytes(body)

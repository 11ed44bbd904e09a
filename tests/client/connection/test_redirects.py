"""A cluster can't send a client of ours elsewhere, not by a stream either."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import BacalhauError


async def test_neither_a_request_nor_a_stream_follows_a_redirect() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(str(other.make_url("/inside")))

    inside, cluster = web.Application(), web.Application()
    inside.router.add_get("/{tail:.*}", elsewhere)
    cluster.router.add_get("/{tail:.*}", away)
    async with TestServer(inside) as other, TestServer(cluster) as server:
        api = AsyncAPI(Endpoint(url=str(server.make_url("")).rstrip("/"), token="key"))
        try:
            with pytest.raises(BacalhauError, match="307"):
                await api.agent_alive()
            with pytest.raises(BacalhauError, match="redirect"):
                async for _ in api.events():
                    pass
        finally:
            await api.close()
    assert asked == []

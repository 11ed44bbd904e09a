"""The gateway's way to the cluster: it goes there and nowhere else."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.server.cluster.connection import ClusterConnection
from bacalhau_jupyter.server.gateway.paths import parse
from bacalhau_jupyter.server.gateway.upstream import Upstream

EVENTS = "/api/v1/orchestrator/events"


async def test_a_stream_follows_no_redirect_of_the_cluster() -> None:
    asked: list[str] = []

    async def inside(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/{tail:.*}", inside)
    async with TestServer(app) as other:

        async def away(request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(str(other.make_url("/metadata")))

        cluster = web.Application()
        cluster.router.add_get(EVENTS, away)
        async with TestServer(cluster) as server:
            url = str(server.make_url("")).rstrip("/")
            upstream = Upstream(ClusterConnection(lambda: Endpoint(url=url, token="key")))
            with pytest.raises(NetworkFailure, match="redirect"):
                async with upstream.stream(parse(EVENTS)):
                    pass
            await upstream.close()
            assert asked == []
            # The control: a session as aiohttp makes it goes where the cluster sends it.
            async with aiohttp.ClientSession() as session, session.ws_connect(url + EVENTS):
                pass
            assert asked == ["/metadata"]

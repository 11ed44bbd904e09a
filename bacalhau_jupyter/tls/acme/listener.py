"""The plain listener of HTTP-01, there only while an order is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.tls.acme.challenges import PATH, HttpAnswers

if TYPE_CHECKING:
    from aiohttp import web


@asynccontextmanager
async def listening(answers: HttpAnswers, host: str, port: int) -> AsyncIterator[None]:
    """Serve the answers, and nothing else.

    Raises
    ------
    NetworkFailure
        The port can't be listened on.
    """
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        authorization = answers.authorization(request.match_info["token"])
        if authorization is None:
            raise web.HTTPNotFound(text="no validation of this name is under way\n")
        return web.Response(body=authorization.encode(), content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get(PATH + "{token}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise NetworkFailure(
                f"HTTP-01 needs port {port}, which can't be listened on: {error.strerror or error}",
                hint="allow it to the node's user, or forward port 80 to another API.TLS.AutoCertHTTPPort",
                retryable=True,
            ) from error
        yield
    finally:
        await runner.cleanup()

"""How an application is served at a listening socket: plain, or encrypted."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from bacalhau_jupyter.api.app import runner_of
from bacalhau_jupyter.api.http.serving import Gatekeeper
from bacalhau_jupyter.node.roles.stopping import bounded
from bacalhau_jupyter.tls.front import Certificates, Front

SHUTDOWN_S = 2.0


@dataclass(frozen=True)
class Doors:
    """What all listeners of a node share.

    Attributes
    ----------
    gatekeeper
        Bounds their connections.
    certificates
        What they show; None where they speak plain HTTP.
    """

    gatekeeper: Gatekeeper
    certificates: Certificates | None = None

    @property
    def scheme(self) -> str:
        """What their URLs begin with."""
        return "http" if self.certificates is None else "https"

    async def open(
        self, stack: AsyncExitStack, app: web.Application, listener: socket.socket, name: str
    ) -> None:
        """Serve an application until ``stack`` is closed; ``name`` stands in the log where that takes too long."""
        runner = runner_of(app, self.gatekeeper, SHUTDOWN_S)
        stack.push_async_callback(bounded, name, runner.cleanup)
        await runner.setup()
        if self.certificates is None:
            await web.SockSite(runner, listener).start()
            return
        front = Front(listener, _protocols_of(runner), self.certificates, self.gatekeeper)
        front.start()
        stack.push_async_callback(bounded, name, front.close)


def _protocols_of(runner: web.AppRunner) -> web.Server:
    """Return what makes the protocol of each connection; a runner has it once it is set up."""
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    return runner.server

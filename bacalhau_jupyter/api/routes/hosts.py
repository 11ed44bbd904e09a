"""``/hosts`` +: Docker hosts elsewhere that run jobs of this node, and the owner's say in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import JUDGED, body
from bacalhau_jupyter.api.http.callers import PRINCIPAL
from bacalhau_jupyter.api.http.websocket import push
from bacalhau_jupyter.api.services.hosts import HostService
from bacalhau_jupyter.auth.principals import EVERYTHING
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.records.host_orders import (
    AddHost,
    CleanHost,
    HostProgress,
    PushImage,
    RemoveHost,
)
from bacalhau_jupyter.models.records.hosts import PATH

_ONE = f"{PATH}/{{name}}"


class HostRoutes:
    """Add, list, show, test, pause, resume and remove hosts; copy images there, and clean up."""

    def __init__(self, hosts: HostService) -> None:
        self._hosts = hosts

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.get(PATH, self.list, allow_head=False),
            web.post(PATH, self.add),
            web.post(f"{PATH}/test", self.try_out),
            web.get(_ONE, self.show, allow_head=False),
            web.post(f"{_ONE}/test", self.test),
            web.post(f"{_ONE}/pause", self.pause),
            web.post(f"{_ONE}/resume", self.resume),
            web.post(f"{_ONE}/retry", self.retry),
            web.post(f"{_ONE}/remove", self.remove),
            web.post(f"{_ONE}/push", self.push),
            web.post(f"{_ONE}/push/stop", self.stop_push),
            web.get(f"{_ONE}/progress", self.progress, allow_head=False),
            web.post(f"{_ONE}/clean", self.clean),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """All hosts, as they were seen last; waits for none of them.

        Only callers who may add hosts get the aliases and contexts: these come from the owner's own files.
        """
        hosts = await self._hosts.list()
        principal = request.get(PRINCIPAL)
        if principal is None or not principal.may(EVERYTHING) or request.get(JUDGED, False):
            hosts = msgspec.structs.replace(hosts, contexts=[], aliases=[])
        return answer(request, hosts)

    async def show(self, request: web.Request) -> web.Response:
        """One host."""
        return answer(request, self._hosts.show(request.match_info["name"]))

    async def add(self, request: web.Request) -> web.Response:
        """Let a host run jobs."""
        order = await body(request, AddHost)
        request[DEED] = Deed(name=order.name or order.context)
        return answer(request, await self._hosts.add(order))

    async def try_out(self, request: web.Request) -> web.Response:
        """Try the way to a host that is not there yet."""
        order = await body(request, AddHost)
        request[DEED] = Deed(name=order.name or order.context)
        return answer(request, await self._hosts.try_out(order))

    async def test(self, request: web.Request) -> web.Response:
        """Try the way to a host."""
        return answer(request, await self._hosts.test(_name(request)))

    async def pause(self, request: web.Request) -> web.Response:
        """Let a host take no new jobs."""
        return answer(request, await self._hosts.pause(_name(request), paused=True))

    async def resume(self, request: web.Request) -> web.Response:
        """Let a host take jobs again."""
        return answer(request, await self._hosts.pause(_name(request), paused=False))

    async def retry(self, request: web.Request) -> web.Response:
        """Try now to connect, where that waits for its turn."""
        return answer(request, self._hosts.retry(_name(request)))

    async def remove(self, request: web.Request) -> web.Response:
        """Let a host run no more jobs."""
        order = await body(request, RemoveHost)
        return answer(request, await self._hosts.remove(_name(request), order))

    async def push(self, request: web.Request) -> web.Response:
        """Copy an image there."""
        order = await body(request, PushImage)
        return answer(request, await self._hosts.push(_name(request), order))

    async def stop_push(self, request: web.Request) -> web.Response:
        """End what is being copied there."""
        return answer(request, await self._hosts.stop_push(_name(request)))

    async def progress(self, request: web.Request) -> web.StreamResponse:
        """A websocket: how far it is what is copied there, one `HostProgress` per frame; it does not end by itself."""
        return await push(request, _frames(self._hosts.progress(request.match_info["name"])))

    async def clean(self, request: web.Request) -> web.Response:
        """What nodes have there; removes what some left."""
        order = await body(request, CleanHost)
        return answer(request, await self._hosts.clean(_name(request), order))


async def _frames(news: AsyncIterator[HostProgress]) -> AsyncIterator[str]:
    async for each in news:
        yield encode(each).decode()


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    request[DEED] = Deed(name=name)
    return name

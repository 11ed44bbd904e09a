"""``/compute/images`` +: the images that this node keeps without a Docker Engine.

Who loads a file decides what jobs run under a name, and opens a path of the node's machine: that takes the node's own
user behind its socket, as for environments. To pull and to remove images, all the owner's rights are enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import body
from bacalhau_jupyter.api.http.own_user import own_user_only
from bacalhau_jupyter.api.http.websocket import push
from bacalhau_jupyter.api.services.kept import ImageService
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.kept.images import (
    PATH,
    LoadImages,
    PullImage,
    PullProgress,
    RemoveImage,
    StopPull,
)

_WAY_OUT = (
    "Run `bacalhau-jupyter image load PATH` as that user on the node's machine (with API.TrustLocalUser on)."
)


class ImageRoutes:
    """List, load, pull and remove images."""

    def __init__(self, images: ImageService, access: Access) -> None:
        self._images = images
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.get(PATH, self.list, allow_head=False),
            web.delete(PATH, self.clean),
            web.post(f"{PATH}/load", self.load),
            web.post(f"{PATH}/pull", self.pull),
            web.post(f"{PATH}/pull/stop", self.stop_pull),
            web.get(f"{PATH}/pull/progress", self.progress, allow_head=False),
            web.post(f"{PATH}/remove", self.remove),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """All images."""
        return answer(request, await self._images.list())

    async def load(self, request: web.Request) -> web.Response:
        """Take the images of a file or directory of this machine; answer with them."""
        await own_user_only(self._access, request, "load images from its disk", hint=_WAY_OUT)
        order = await body(request, LoadImages)
        request[DEED] = Deed(name=order.path)
        if not order.path or "\0" in order.path:
            raise BadRequest("the body names no path")
        return answer(request, await self._images.load(order.path))

    async def pull(self, request: web.Request) -> web.Response:
        """Take one image from its registry; answer with it."""
        order = await body(request, PullImage)
        request[DEED] = Deed(name=order.image)
        if not order.image:
            raise BadRequest("the body names no image")
        return answer(request, await self._images.pull(order.image))

    async def stop_pull(self, request: web.Request) -> web.Response:
        """End the pulls of one image; answer with the images that are here."""
        order = await body(request, StopPull)
        request[DEED] = Deed(name=order.image)
        await self._images.stop_pull(order.image)
        return answer(request, await self._images.list())

    async def progress(self, request: web.Request) -> web.StreamResponse:
        """A websocket: how far the pull of ``?image=`` is, one `PullProgress` per frame; it does not end by itself."""
        return await push(request, _frames(self._images.progress(request.query.get("image", ""))))

    async def remove(self, request: web.Request) -> web.Response:
        """Remove one image; answer with what is gone."""
        order = await body(request, RemoveImage)
        request[DEED] = Deed(name=order.image)
        if not order.image:
            raise BadRequest("the body names no image")
        return answer(request, await self._images.remove(order.image))

    async def clean(self, request: web.Request) -> web.Response:
        """Remove the images that no job uses; answer with what is gone."""
        return answer(request, await self._images.clean())


async def _frames(news: AsyncIterator[PullProgress]) -> AsyncIterator[str]:
    async for each in news:
        yield encode(each).decode()

"""Calls about the images that a node keeps without a Docker Engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.records.kept.images import (
    PATH,
    KnownImages,
    LoadImages,
    PullImage,
    PullProgress,
    RemoveImage,
    StopPull,
)
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress


class ImageCalls:
    """The routes below ``/compute/images``. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> KnownImages:
        """Return all images."""
        return await self._connection.request("GET", PATH, KnownImages)

    async def load(self, path: str) -> KnownImages:
        """Take the images of a file or directory of the node's machine, however long that takes; return them."""
        return await self._connection.send_order("POST", f"{PATH}/load", KnownImages, LoadImages(path=path))

    async def pull(self, image: str, progress: Progress = no_progress) -> KnownImages:
        """Take an image from its registry, however long that takes; return it.

        It goes on where this call is given up; see `stop_pull`.
        """
        watching = asyncio.create_task(self._watch(image, progress), name="watching a pull")
        try:
            return await self._connection.send_order(
                "POST", f"{PATH}/pull", KnownImages, PullImage(image=image)
            )
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def stop_pull(self, image: str) -> KnownImages:
        """End the pulls of an image that people ordered; return all images."""
        return await self._connection.request(
            "POST", f"{PATH}/pull/stop", KnownImages, body=StopPull(image=image)
        )

    async def progress(self, image: str) -> AsyncIterator[PullProgress]:
        """Yield how far the pull of an image is, now and at each change, without end."""
        async for text in self._connection.websocket(f"{PATH}/pull/progress", [("image", image)]):
            yield decode(text, PullProgress, "progress")

    async def _watch(self, image: str, progress: Progress) -> None:
        async for each in self.progress(image):
            if each.phase:
                progress(Reading(each.phase, each.done, each.total or None))

    async def remove(self, image: str) -> DiskUsage:
        """Remove one image; return what is gone."""
        return await self._connection.request(
            "POST", f"{PATH}/remove", DiskUsage, body=RemoveImage(image=image)
        )

    async def clean(self) -> DiskUsage:
        """Remove the images that no job uses, however long that takes; return what is gone."""
        return await self._connection.send("DELETE", PATH, DiskUsage, None, {})

"""Calls about the images that a node keeps without a Docker Engine."""

from __future__ import annotations

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.records.kept.images import (
    PATH,
    KnownImages,
    LoadImages,
    PullImage,
    RemoveImage,
)
from bacalhau_jupyter.models.records.node import DiskUsage


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

    async def pull(self, image: str) -> KnownImages:
        """Take an image from its registry, however long that takes; return it."""
        return await self._connection.send_order("POST", f"{PATH}/pull", KnownImages, PullImage(image=image))

    async def remove(self, image: str) -> DiskUsage:
        """Remove one image; return what is gone."""
        return await self._connection.request(
            "POST", f"{PATH}/remove", DiskUsage, body=RemoveImage(image=image)
        )

    async def clean(self) -> DiskUsage:
        """Remove the images that no job uses, however long that takes; return what is gone."""
        return await self._connection.send("DELETE", PATH, DiskUsage, None, {})

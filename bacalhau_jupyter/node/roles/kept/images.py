"""The node's part in images: which engines keep some, and what its owner asks and orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.records.kept.images import KnownImage, KnownImages, PullProgress
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.node.roles.kept.pulling import Pulling
from bacalhau_jupyter.plugins.images import ImageKeeper, KeepsImages, KeptImage


def open_stores(engines: Iterable[Any]) -> list[ImageKeeper]:
    """Return the stores that some engines have now; an engine may open its own later."""
    every = (engine.images for engine in engines if isinstance(engine, KeepsImages))
    return [store for store in every if store is not None and store.is_open]


class NodeImages:
    """The images of all halves of a process (``api.services.kept.ImageService``).

    Parameters
    ----------
    stores
        Those that there are now.
    """

    def __init__(self, stores: Callable[[], Sequence[ImageKeeper]]) -> None:
        self._stores = stores
        self._pulling = Pulling()

    async def list(self) -> KnownImages:
        """Return all images."""
        stores = self._stores()
        images = [image for store in stores for image in await store.images()]
        limits = [store.quota for store in stores]
        return KnownImages(
            images=[_known(image) for image in images],
            size=sum(store.size for store in stores),
            limit=sum(limits) if all(limits) else 0,
        )

    async def load(self, path: str) -> KnownImages:
        """Take the images of a file or directory of this machine; return them."""
        stores = self._stores()
        if not stores:
            raise _none()
        images = await stores[0].load(Path(path))
        return KnownImages(
            images=[_known(image) for image in images], size=stores[0].size, limit=stores[0].quota
        )

    async def pull(self, image: str) -> KnownImages:
        """Take an image from its registry; return it."""
        stores = self._stores()
        if not stores:
            raise _none()
        pulled = await self._pulling.pull(stores[0], image)
        return KnownImages(images=[_known(pulled)], size=stores[0].size, limit=stores[0].quota)

    async def stop_pull(self, image: str) -> None:
        """End the pulls of an image that people ordered; jobs that wait for it go on."""
        await self._pulling.stop(image)

    def progress(self, image: str) -> AsyncIterator[PullProgress]:
        """Yield how far the pull of an image is, now and at each change, without end."""
        return self._pulling.follow(image)

    async def remove(self, image: str) -> DiskUsage:
        """Remove an image; return what is gone."""
        stores = self._stores()
        if not stores:
            raise _none()
        removed = missing = None
        for store in stores:
            try:
                removed = (removed or 0) + await store.remove(image)
            except NotFound as error:
                missing = error
        if removed is None and missing is not None:
            raise missing
        return DiskUsage(bytes=removed or 0, count=1)

    async def clean(self) -> DiskUsage:
        """Remove the images that no job uses; return what is gone."""
        size = count = 0
        for store in self._stores():
            before = store.count
            size += await store.clean()
            count += max(0, before - store.count)
        return DiskUsage(bytes=size, count=count)

    def usage(self) -> DiskUsage | None:
        """Return what all images take; None where no engine keeps any."""
        stores = self._stores()
        if not stores:
            return None
        limits = [store.quota for store in stores]
        return DiskUsage(
            bytes=sum(store.size for store in stores),
            count=sum(store.count for store in stores),
            limit=sum(limits) if all(limits) else 0,
        )


def _known(image: KeptImage) -> KnownImage:
    return KnownImage(
        names=list(image.names),
        digest=image.digest,
        image_id=image.image_id,
        size=image.size,
        used=rfc3339(int(image.used_at * SECOND)),
        holders=list(image.holders),
    )


def _none() -> Conflict:
    # Not 501: which runtime a node has may change, and a caller's wish is never our error.
    return Conflict(
        "this node keeps no images of its own",
        hint="its docker jobs run with a Docker Engine (`docker pull`, `docker load`), or not at all: "
        "`bacalhau-jupyter node describe NODE` says which, and why",
    )

"""Loading: from a file or directory to images of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bacalhau_jupyter.engines.images.keeping.index import Index
from bacalhau_jupyter.engines.images.keeping.records import ImageRecord
from bacalhau_jupyter.engines.images.loading import LoadedImage, read_images
from bacalhau_jupyter.engines.images.making import Maker
from bacalhau_jupyter.engines.images.platforms import Platform
from bacalhau_jupyter.engines.images.pulling.manifests import digest_of
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.plugins.contract import Progress, Reading
from bacalhau_jupyter.transfer.core.files import io_failure

LOADING = "loading image"

T = TypeVar("T")


class Loads:
    """Takes images out of what `docker save` writes, and out of OCI layouts; one after the other."""

    def __init__(self, index: Index, maker: Maker, platform: Platform) -> None:
        self._index = index
        self._maker = maker
        self._platform = platform
        # An archive lies unpacked beside its images: the room of one, not of many.
        self._turn = asyncio.Lock()

    async def load(self, path: Path, progress: Progress) -> list[ImageRecord]:
        """Take the images of a file or directory.

        Raises
        ------
        BacalhauError
            The path does not exist, holds no images, is broken or hostile, or needs more room than there is.
        """
        if not path.is_absolute():
            raise BadRequest(f"{path} is not an absolute path")
        progress(Reading(LOADING))
        async with self._turn, self._maker.place() as place:
            root = path
            if not await _disk(path, path.is_dir):
                if not await _disk(path, path.is_file):
                    raise NotFound(f"there is no file or directory {path}")
                root = await self._maker.open_archive(path, place)
            loaded = await _disk(root, read_images, root, self._platform)
            return [await self._load(image) for image in loaded]

    async def _load(self, loaded: LoadedImage) -> ImageRecord:
        image_id = digest_of(loaded.config).partition(":")[2]
        layers = [diff_id.partition(":")[2] for diff_id in loaded.described.diff_ids]
        keys = [image_id, *layers]
        self._index.pin(keys)
        try:
            if (there := self._index.image(image_id)) is not None:
                return await self._maker.rename(there, loaded.names)
            for layer, diff_id in zip(loaded.layers, layers, strict=True):
                if not self._index.has_layer(diff_id):
                    await self._maker.layer(
                        layer.path, diff_id, key=object(), digest=layer.digest, size=layer.size
                    )
            sizes = [await _disk(layer.path, layer.path.stat) for layer in loaded.layers]
            image = ImageRecord(
                image_id=image_id,
                digest=loaded.digest,
                names=tuple(loaded.names),
                layers=tuple(layers),
                size=sum(each.st_size for each in sizes),
            )
            return await self._maker.image(image, loaded.config)
        finally:
            self._index.unpin(keys)
            await asyncio.shield(self._maker.trim())


async def _disk(place: Path, work: Callable[..., T], *arguments: object) -> T:
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise io_failure(error, "read", place, "Images") from error

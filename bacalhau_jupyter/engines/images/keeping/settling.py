"""Bringing what is new to the disk, so that it outlives a power cut."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from bacalhau_jupyter.engines.images.keeping.files import ImageFiles
from bacalhau_jupyter.engines.images.keeping.index import Index


class Settling:
    """Waits for the disk, so that nobody else has to; used on one event loop.

    Parameters
    ----------
    lock
        The lock for changes of files and index.
    """

    def __init__(self, files: ImageFiles, index: Index, lock: asyncio.Lock) -> None:
        self._files = files
        self._index = index
        self._lock = lock
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Have images that are not known to be on the disk brought there; don't wait."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._bring(), name="images: settling")

    async def close(self) -> None:
        """Wait until it is done."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _bring(self) -> None:
        with contextlib.suppress(OSError):
            # Others may arrive meanwhile.
            while unsettled := [image for image in self._index.images if image.boot]:
                layers = list({layer for image in unsettled for layer in image.layers})
                await asyncio.to_thread(self._files.sync)
                async with self._lock:
                    for image in unsettled:
                        if (now := self._index.image(image.image_id)) is not None:
                            settled = msgspec.structs.replace(now, boot="")
                            self._index.add_image(settled)
                            await asyncio.to_thread(self._files.note_image, settled)
                    await asyncio.to_thread(self._files.settled, layers)

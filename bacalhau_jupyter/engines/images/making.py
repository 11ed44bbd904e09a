"""From the pieces of an image to an image of the store: layers unpacked, the tree put together, all written down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from bacalhau_jupyter.engines.images.keeping.claims import Claims
from bacalhau_jupyter.engines.images.keeping.files import TREE, ImageFiles
from bacalhau_jupyter.engines.images.keeping.index import Index
from bacalhau_jupyter.engines.images.keeping.quota import KEY, UNLIMITED
from bacalhau_jupyter.engines.images.keeping.records import ImageRecord, KeptLayer
from bacalhau_jupyter.engines.images.unpacking.orders import (
    NO_ROOM,
    Layer,
    MergeOrder,
    OpenOrder,
    Owner,
    UnpackOrder,
)
from bacalhau_jupyter.engines.images.unpacking.workers import Workers
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.shared_answer import SharedAnswer
from bacalhau_jupyter.lib.threads.whole import or_undone, to_the_end
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.transfer.core.files import io_failure

log = logging.getLogger(__name__)

T = TypeVar("T")


class Maker:
    """Makes layers and images, and room for them.

    Parameters
    ----------
    quota
        Bytes that all images may take.
    """

    def __init__(
        self, files: ImageFiles, index: Index, workers: Workers, owner: Owner, clock: Clock, quota: int
    ) -> None:
        self._files = files
        self._index = index
        self._workers = workers
        self._owner = owner
        self._clock = clock
        self.quota = quota
        self._claims = Claims()
        # Only one changes what is on the disk and in the index at a time.
        self.lock = asyncio.Lock()
        self._sweeping = SharedAnswer(files.sweep)
        self._sweeper: asyncio.Task[None] | None = None
        self._trimmer: asyncio.Task[None] | None = None

    @contextmanager
    def claim(self, sizes: Mapping[Hashable, int]) -> Iterator[None]:
        """Claim room for layers that are to come, by the keys that `layer` gets, in bytes.

        Raises
        ------
        IOFailure
            ``ImageTooLarge``: they can't fit, however much is removed.
        """
        if (size := sum(sizes.values())) > self._room:
            raise self._no_room(f"it takes at least {format_bytes(size)}")
        with self._claims.holding(sizes):
            self._check_claims()
            yield

    @property
    def _room(self) -> int:
        """Bytes that there are for one more image, if all goes that may go."""
        return max(0, self.quota - self._index.held_size())

    def _check_claims(self) -> None:
        taken = self._index.held_size() + self._claims.size
        if taken > self.quota:
            raise self._no_room(f"what is in use or being fetched would take {format_bytes(taken)}")

    def _grow(self, key: Hashable, unpacked: int) -> None:
        self._claims.grown(key, unpacked)
        self._check_claims()
        if self._taken > self.quota and (self._trimmer is None or self._trimmer.done()):
            self._trimmer = asyncio.create_task(self._trim_quietly(), name="images: trimming")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """Yield a directory for something that is being made; what is left of it is removed."""
        try:
            place = await or_undone(remove_tree, self._files.new_place)
        except OSError as error:
            raise io_failure(error, "write into", self._files.work, "Images") from error
        try:
            yield place
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, place))

    async def layer(
        self,
        source: Path,
        diff_id: str,
        *,
        key: Hashable,
        digest: str = "",
        size: int = -1,
        count: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Unpack a layer from a file, and keep it.

        Parameters
        ----------
        key
            What its room is claimed by; no other unpacking that is under way has it.

        Raises
        ------
        IOFailure
            The layer is broken, hostile, not what was announced, or needs more room than there is.
        """

        def told(done: int, unpacked: int) -> None:
            count(done)
            self._grow(key, unpacked)

        with self._claims.holding({key: 0}):
            try:
                async with self.place() as place:
                    order = UnpackOrder(
                        target=str(place / TREE),
                        source=str(source),
                        digest=digest,
                        diff_id=diff_id,
                        size=size,
                        max_bytes=self._room,
                        owner=self._owner,
                    )
                    reply = await self._workers.do(order, told)
                    if reply.layer is None:
                        raise IOFailure("the process that unpacks images did not say what it did")
                    # To the end: else what is being kept is removed at the same time.
                    await to_the_end(self._keep_layer(place, reply.layer, key))
            finally:
                self._claims.failed(key)

    async def _keep_layer(self, place: Path, layer: Layer, key: Hashable) -> None:
        async with self.lock:
            if not self._index.has_layer(layer.diff_id):
                await self._disk(self._files.keep_layer, place, KeptLayer(layer=layer))
                self._index.add_layer(layer.diff_id, layer.size)
                self._claims.settle(key)
            await self._make_room()

    async def image(self, image: ImageRecord, config: bytes) -> ImageRecord:
        """Put the tree of an image together, and keep it; its layers are here and pinned.

        Raises
        ------
        IOFailure
            A layer does not fit the others, or the image needs more room than there is.
        """
        layers = [await self._disk(self._files.layer, diff_id) for diff_id in image.layers]
        known = [kept.layer for kept in layers if kept is not None]
        if len(known) != len(image.layers):
            for diff_id, kept in zip(image.layers, layers, strict=True):
                if kept is None:
                    self._index.forget_layer(diff_id)
            raise IOFailure("a layer of the image is gone", hint="run the job again", retryable=True)
        async with self.place() as place:
            if len(known) != 1 or known[0].links_below:
                trees = [str(self._files.layer_tree(layer.diff_id)) for layer in known]
                order = MergeOrder(
                    target=str(place / TREE),
                    layers=list(zip(trees, known, strict=True)),
                    owner=self._owner,
                )
                reply = await self._workers.do(order)
                image = msgspec.structs.replace(image, tree_size=max(1, reply.size))
            image = msgspec.structs.replace(image, config_size=len(config), used_ns=self._clock.now_ns())
            return await to_the_end(self._keep_image(place, image, config))

    async def _keep_image(self, place: Path, image: ImageRecord, config: bytes) -> ImageRecord:
        async with self.lock:
            if (there := self._index.image(image.image_id)) is not None:
                # It came by another name meanwhile, and jobs may run in its tree already.
                return await self._rename(there, image.names)
            image = await self._disk(self._files.keep_image, place, image, config)
            for robbed in self._index.add_image(image):
                await self._disk(self._files.note_image, robbed)
            await self._make_room()
        return image

    async def rename(self, image: ImageRecord, names: Sequence[str]) -> ImageRecord:
        """Let an image that is here have these names, too, and no other one; return its record."""
        async with self.lock:
            return await self._rename(self._index.image(image.image_id) or image, names)

    async def _rename(self, image: ImageRecord, names: Sequence[str]) -> ImageRecord:
        image = msgspec.structs.replace(image, names=tuple(dict.fromkeys((*image.names, *names))))
        for changed in (*self._index.add_image(image), image):
            await self._disk(self._files.note_image, changed)
        return image

    async def open_archive(self, source: Path, place: Path) -> Path:
        """Unpack an archive of images to a place; return the directory.

        Raises
        ------
        IOFailure
            The archive is broken or hostile, or needs more room than there is.
        """
        room = self.quota if self.quota == UNLIMITED else self._room
        await self._workers.do(OpenOrder(target=str(place / TREE), source=str(source), max_bytes=room))
        return place / TREE

    async def drop(self, images: Sequence[ImageRecord]) -> int:
        """Remove images; return the bytes that this gave back. The lock is held."""
        before = self._index.size
        for image in images:
            loose = self._index.remove_image(image.image_id)
            await self._disk(self._files.remove_image, image.image_id)
            for diff_id in loose:
                await self._disk(self._files.remove_layer, diff_id)
        self.sweep()
        return before - self._index.size

    async def clean(self) -> int:
        """Remove all that may go; return the bytes that this gave back."""
        async with self.lock:
            before = self._index.size
            # One at a time: while one is removed, a job may take the next.
            while free := self._index.removable()[:1]:
                await self.drop(free)
            for diff_id in self._index.remove_loose():
                await self._disk(self._files.remove_layer, diff_id)
            freed = before - self._index.size
        try:
            await self._sweeping.get()
        except OSError as error:
            raise io_failure(error, "write into", self._files.root, "Images") from error
        return freed

    def sweep(self) -> None:
        """Give the room of what has gone back, without anybody waiting for it."""
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(), name="images: sweeping")

    async def close(self) -> None:
        """Wait for what is being removed."""
        for task in (self._trimmer, self._sweeper):
            if task is not None:
                await asyncio.wait([task])

    async def _sweep(self) -> None:
        with contextlib.suppress(OSError):
            await self._sweeping.get()

    async def trim(self) -> None:
        """Remove what there is no room for, after something did not work."""
        async with self.lock:
            await self._evict()

    async def _trim_quietly(self) -> None:
        with contextlib.suppress(IOFailure):
            await self.trim()

    @property
    def _taken(self) -> int:
        """Bytes of what is kept, and of what is unpacked so far."""
        return self._index.size + self._claims.unpacked

    async def _make_room(self) -> None:
        await self._evict()
        if self._index.size > self.quota:
            raise self._no_room(f"what is in use would take {format_bytes(self._index.size)}")

    async def _evict(self) -> None:
        """Remove what nothing needs, and images that were used longest ago, until all fits."""
        if self._taken > self.quota:
            for diff_id in self._index.remove_loose():
                await self._disk(self._files.remove_layer, diff_id)
            self.sweep()
        while self._taken > self.quota and (removable := self._index.removable()):
            log.info("the image %s goes, to make room", removable[0].names[:1] or removable[0].image_id)
            await self.drop(removable[:1])

    def _no_room(self, reason: str) -> IOFailure:
        return IOFailure(
            f"there is no room for the image: {reason}, and images may take {format_bytes(self.quota)} here",
            hint=f"wait until jobs that use other images are over, or give images more room ({KEY})",
            code=NO_ROOM,
            component="Images",
            retryable=True,
        )

    async def _disk(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            raise io_failure(error, "write into", self._files.root, "Images") from error

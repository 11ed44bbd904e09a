"""Pulling: from a reference to an image of the store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path

from bacalhau_jupyter.engines.images.flights import Flights
from bacalhau_jupyter.engines.images.keeping.files import ImageFiles
from bacalhau_jupyter.engines.images.keeping.index import Index
from bacalhau_jupyter.engines.images.keeping.records import ImageRecord
from bacalhau_jupyter.engines.images.making import Maker
from bacalhau_jupyter.engines.images.pulling.counting import PULLING, UNPACKING, PullCount
from bacalhau_jupyter.engines.images.pulling.manifests import Described, Descriptor, Manifest
from bacalhau_jupyter.engines.images.pulling.registry import Registry
from bacalhau_jupyter.engines.images.recent import Recent
from bacalhau_jupyter.engines.images.references import Reference
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress

AT_A_TIME = 3
"""Layers of one image that are downloaded at a time, as Docker does."""
FRESH_S = 60.0
"""Seconds that a tag means what the registry said: a bid and the job's start ask once."""
_REMEMBERED = 100
_USUAL = 64 << 10
"""Bytes of a configuration that is remembered; what strangers make larger is asked for again."""

Resolved = tuple[Manifest, Described, bytes]


class Pulls:
    """Brings images from registries; two who want the same share the work."""

    def __init__(
        self, registry: Registry, files: ImageFiles, index: Index, maker: Maker, clock: Clock
    ) -> None:
        self._registry = registry
        self._files = files
        self._index = index
        self._maker = maker
        self._clock = clock
        self._images: Flights[ImageRecord] = Flights()
        self._layers: Flights[None] = Flights()
        self._resolved: Recent[str, tuple[int, Resolved]] = Recent(_REMEMBERED)

    async def find(self, reference: Reference) -> Resolved:
        """Ask the registry what a reference means.

        Raises
        ------
        BacalhauError
            As for `pulling.registry.Registry.find`.
        """
        now = self._clock.monotonic_ns()
        kept = self._resolved.get(reference.name)
        if kept is not None and (reference.digest or now - kept[0] < FRESH_S * SECOND):
            return kept[1]
        resolved = await self._registry.find(reference)
        if len(resolved[2]) <= _USUAL:
            self._resolved.keep(reference.name, (now, resolved))
        return resolved

    def forget(self, reference: Reference) -> None:
        """Ask the registry anew what a reference means, the next time."""
        self._resolved.forget(reference.name)

    async def pull(self, reference: Reference, progress: Progress = no_progress) -> ImageRecord:
        """Bring an image here.

        Raises
        ------
        BacalhauError
            It can't be had, lies, is broken or hostile, or there is no room.
        """
        return await self._images.share(reference.name, partial(self._pull, reference), progress)

    async def close(self) -> None:
        """Call everything off."""
        await self._images.close()
        await self._layers.close()

    async def _pull(self, reference: Reference, progress: Progress) -> ImageRecord:
        progress(Reading(PULLING))
        resolved = await self.find(reference)
        try:
            return await self._bring(reference, resolved, progress)
        except BacalhauError as error:
            if not is_full(error) or not await self._maker.clean():
                raise
        # The disk was full, and images that nobody uses made room.
        return await self._bring(reference, resolved, progress)

    async def _bring(self, reference: Reference, resolved: Resolved, progress: Progress) -> ImageRecord:
        manifest, described, config = resolved
        image_id = _hex(manifest.config.digest)
        layers = [_hex(diff_id) for diff_id in described.diff_ids]
        names = tuple(dict.fromkeys((reference.name, reference.pinned(manifest.digest).name)))
        keys = [image_id, *layers]
        self._index.pin(keys)
        try:
            if (there := self._index.image(image_id)) is not None:
                return await self._maker.rename(there, names)
            missing = {
                _key(reference, layer, diff_id): layer.size
                for diff_id, layer in zip(layers, manifest.layers, strict=True)
                if not self._index.has_layer(diff_id)
            }
            with self._maker.claim(missing):
                await self._bring_layers(reference, manifest, layers, progress)
            image = ImageRecord(
                image_id=image_id,
                digest=manifest.digest,
                names=names,
                layers=tuple(layers),
                size=manifest.size,
            )
            progress(Reading(UNPACKING, manifest.size, manifest.size))
            return await self._maker.image(image, config)
        except BaseException:
            self._index.unpin(keys)
            keys = []
            await asyncio.shield(self._maker.trim())
            raise
        finally:
            self._index.unpin(keys)

    async def _bring_layers(
        self, reference: Reference, manifest: Manifest, diff_ids: Sequence[str], progress: Progress
    ) -> None:
        count = PullCount(manifest.size, progress)
        slots = asyncio.Semaphore(AT_A_TIME)
        by_diff_id = dict(zip(diff_ids, manifest.layers, strict=True))
        try:
            async with asyncio.TaskGroup() as group:
                for diff_id, layer in by_diff_id.items():
                    if self._index.has_layer(diff_id):
                        count.finished(diff_id, layer.size)
                    else:
                        group.create_task(self._bring_layer(reference, layer, diff_id, count, slots))
        except BaseExceptionGroup as errors:
            # Not with `except*`: Python 3.11.2 (Debian 12) raises a group again, whatever is raised in such a clause.
            error = _first(errors)
            raise error from error.__cause__

    async def _bring_layer(
        self,
        reference: Reference,
        layer: Descriptor,
        diff_id: str,
        count: PullCount,
        slots: asyncio.Semaphore,
    ) -> None:
        def told(reading: Reading) -> None:
            note = count.downloaded if reading.phase == PULLING else count.unpacked
            note(diff_id, reading.done)

        key = _key(reference, layer, diff_id)
        async with slots:
            await self._layers.share(key, partial(self._fetch, reference, layer, diff_id), told)
        count.finished(diff_id, layer.size)

    async def _fetch(self, reference: Reference, layer: Descriptor, diff_id: str, progress: Progress) -> None:
        blob = self._files.blobs / uuid.uuid4().hex
        try:
            await self._registry.layer(
                reference,
                layer,
                blob,
                lambda reading: progress(Reading(PULLING, reading.done, layer.size)),
            )
            if self._index.has_layer(diff_id):
                return
            await self._maker.layer(
                blob,
                diff_id,
                key=_key(reference, layer, diff_id),
                digest=_hex(layer.digest),
                size=layer.size,
                count=lambda done: progress(Reading(UNPACKING, done, layer.size)),
            )
        finally:
            await asyncio.shield(asyncio.to_thread(_unlink, blob))


def _key(reference: Reference, layer: Descriptor, diff_id: str) -> Hashable:
    # By registry: one that stalls, or lies, holds up only those who chose it.
    return reference.registry, layer.digest, diff_id


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group; one that nobody expects comes before those that people are told."""
    expected, unexpected = group.split(BacalhauError)
    error: BaseException | None = unexpected or expected
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error or group

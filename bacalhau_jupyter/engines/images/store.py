"""The store of images (`contract.ImageStore`): asked by engines, people and the node's start."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from bacalhau_jupyter.engines.images.contract import FoundImage, HeldImage, KeptImage
from bacalhau_jupyter.engines.images.keeping.files import ImageFiles
from bacalhau_jupyter.engines.images.keeping.index import Index
from bacalhau_jupyter.engines.images.keeping.quota import KEY, UNLIMITED, quota_of
from bacalhau_jupyter.engines.images.keeping.records import HolderRecord, ImageRecord
from bacalhau_jupyter.engines.images.keeping.settling import Settling
from bacalhau_jupyter.engines.images.loads import Loads
from bacalhau_jupyter.engines.images.making import Maker
from bacalhau_jupyter.engines.images.platforms import Platform, own_platform
from bacalhau_jupyter.engines.images.pulling.manifests import Described, read_config
from bacalhau_jupyter.engines.images.pulling.registry import TIMEOUT_S, Registry
from bacalhau_jupyter.engines.images.pulls import Pulls
from bacalhau_jupyter.engines.images.recent import Recent
from bacalhau_jupyter.engines.images.references import parse
from bacalhau_jupyter.engines.images.unpacking.orders import Owner
from bacalhau_jupyter.engines.images.unpacking.workers import Workers
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.engines.registries.credentials import Credentials
from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.lib.threads.whole import to_the_end
from bacalhau_jupyter.models.errors import BadRequest, Conflict, IOFailure, NotFound, ServiceUnavailable
from bacalhau_jupyter.plugins.contract import Progress, no_progress
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.reach import KEY as REACH_KEY
from bacalhau_jupyter.transfer.core.reach import Reach

_TRIES = 3
_REMEMBERED = 100

T = TypeVar("T")


class Images:
    """Images by content, below one directory; used on one event loop, between `open` and `close`.

    Parameters
    ----------
    root
        Absolute; no other process of ours has it open.
    reach
        What jobs may name; registries, and where they lead to, are no exception.
    quota
        Bytes that all images may take; None: a fifth of the disk, 20 GB at most.
    env, home
        Where ``docker login`` left its logins.
    timeout_s
        Seconds that a registry may be silent.
    """

    def __init__(
        self,
        root: Path,
        *,
        reach: Reach,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        quota: int | None = None,
        owner: Owner | None = None,
        clock: Clock | None = None,
        platform: Platform | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._owner = owner or Owner()
        self._clock = clock or SystemClock()
        self._platform = platform or own_platform()
        self._quota = quota
        self._files = ImageFiles(root, self._owner)
        environment = os.environ if env is None else env
        self._credentials = Credentials(Configuration(environment, home), environment)
        self._reach = reach
        self._timeout_s = timeout_s
        self._described: Recent[str, Described] = Recent(_REMEMBERED)
        self._opening, self._restoring = asyncio.Lock(), asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Read what is kept, and remove what a crash left; once it is open, nothing.

        Raises
        ------
        BacalhauError
            Another process uses the directory, or it can't be made.
        """
        async with self._opening:
            if self._is_open:
                return
            layers, images, holders = await self._disk(self._files.open)
            quota = self._quota
            if quota is None:
                quota = await self._disk(quota_of, "", self._files.root)
            self._index = Index(layers, images, holders)
            self._workers = Workers(self._files.root)
            self._maker = Maker(self._files, self._index, self._workers, self._owner, self._clock, quota)
            self._registry = Registry(self._credentials, self._reach, self._platform, self._timeout_s)
            self._pulls = Pulls(self._registry, self._files, self._index, self._maker, self._clock)
            self._loads = Loads(self._index, self._maker, self._platform)
            self._settling = Settling(self._files, self._index, self._maker.lock)
            self._maker.sweep()
            self._is_open = True

    async def close(self) -> None:
        """Call everything off that is under way, and let another process have the directory."""
        if not self._is_open:
            return
        self._is_open = False
        await self._pulls.close()
        await self._workers.close()
        await self._registry.close()
        await self._settling.close()
        await self._maker.close()
        await asyncio.to_thread(self._files.close)

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._is_open

    @property
    def quota(self) -> int:
        """Bytes that all images may take; 0: no limit, or not known yet."""
        return self._maker.quota % UNLIMITED if self._is_open else 0

    @property
    def size(self) -> int:
        """Bytes that all images take; 0 until it is open."""
        return self._index.size if self._is_open else 0

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self._index.images) if self._is_open else 0

    async def find(self, reference: str) -> FoundImage:
        self._opened()
        if (kept := self._local(reference)) is not None:
            return await self._found(reference, kept)
        manifest, described, _ = await self._pulls.find(parse(reference))
        return FoundImage(
            reference=reference,
            digest=manifest.digest,
            image_id=manifest.config.digest,
            config=described.config,
            size=manifest.size,
            is_here=False,
        )

    async def hold(self, reference: str, holder: str, progress: Progress = no_progress) -> HeldImage:
        self._opened()
        for _ in range(_TRIES):
            if (held := await self.held(holder)) is not None:
                return held
            await self._restore()
            image = self._local(reference)
            if image is None:
                image = await self._pulls.pull(parse(reference), progress)
                self._settling.begin()
            if self._index.image(image.image_id) is None:
                continue  # it went to make room between its arrival and now
            record = HolderRecord(holder=holder, image_id=image.image_id, reference=reference)
            self._index.add_holder(record)
            try:
                await self._disk(self._files.note_holder, record)
                if not await self._disk(self._is_whole, image):
                    # Somebody removed its files: it is pulled anew.
                    self._index.remove_holder(holder)
                    async with self._maker.lock:
                        if not await self._disk(self._is_whole, image):
                            await self._maker.drop([image])
                    continue
                await self._touch(image)
                return HeldImage(await self._found(reference, image), self._files.tree(image))
            except BaseException:
                self._index.remove_holder(holder)
                raise
        raise IOFailure(
            f'the image "{reference}" is removed again and again',
            hint=f"images have too little room here ({KEY})",
            retryable=True,
        )

    async def held(self, holder: str) -> HeldImage | None:
        self._opened()
        record = self._index.holder(holder)
        image = None if record is None else self._index.image(record.image_id)
        if record is None or image is None:
            return None
        return HeldImage(await self._found(record.reference, image), self._files.tree(image))

    async def release(self, holder: str) -> None:
        self._opened()
        record = self._index.holder(holder)
        if record is None:
            return
        self._index.remove_holder(holder)
        await self._disk(self._files.forget_holder, holder)
        if (image := self._index.image(record.image_id)) is not None:
            await self._touch(image)

    async def pull(self, reference: str, progress: Progress = no_progress) -> KeptImage:
        self._opened()
        parsed = parse(reference)
        self._pulls.forget(parsed)
        await self._restore()
        image = await self._pulls.pull(parsed, progress)
        self._settling.begin()
        await self._touch(image)
        return self._kept(self._index.image(image.image_id) or image)

    async def load(self, path: Path, progress: Progress = no_progress) -> Sequence[KeptImage]:
        self._opened()
        await self._restore()
        images = await self._loads.load(path, progress)
        self._settling.begin()
        return [self._kept(image) for image in images]

    async def images(self) -> Sequence[KeptImage]:
        self._opened()
        return [self._kept(image) for image in self._index.images]

    async def remove(self, reference_or_digest: str) -> int:
        maker = self._opened()
        async with maker.lock:
            image = self._local(reference_or_digest)
            if image is None:
                raise NotFound(
                    f'the image "{reference_or_digest[:200]}" is not here',
                    hint="`bacalhau-jupyter image list` shows those that are",
                )
            if holders := self._index.holders_of(image.image_id):
                raise Conflict(
                    f'the image "{reference_or_digest}" is in use by {", ".join(holders[:3])}'
                    + (f" and {len(holders) - 3} more" if len(holders) > 3 else ""),
                    hint="wait until these executions are over, or stop them",
                )
            if image not in self._index.removable():
                raise Conflict(f'the image "{reference_or_digest}" is being pulled', retryable=True)
            return await maker.drop([image])

    async def clean(self) -> int:
        maker = self._opened()
        await self._restore()
        return await maker.clean()

    async def _restore(self) -> None:
        """Make the store's directories again where somebody removed them."""
        # To the end: that the images are gone is found once. One at a time: each would see the other's lock.
        await to_the_end(self._restored())

    async def _restored(self) -> None:
        async with self._restoring:
            if await self._disk(self._files.make_directories):
                self._index.clear()
                # These may write below the old directory only.
                await self._workers.close()

    def _opened(self) -> Maker:
        if not self._is_open:
            raise ServiceUnavailable("the store of images is not open", retryable=True)
        return self._maker

    def _local(self, text: str) -> ImageRecord | None:
        """Return what a reference, or an ID, means in this store."""
        by_id = self._index.with_id(text)
        if len(by_id) > 1:
            raise BadRequest(f'"{text}" is the beginning of several image IDs')
        if by_id:
            return by_id[0]
        if (image := self._index.with_digest(text)) is not None:
            return image
        return self._index.named(parse(text).name)

    async def _found(self, reference: str, image: ImageRecord) -> FoundImage:
        described = self._described.get(image.image_id)
        if described is None:
            described = read_config(await self._disk(self._files.config, image.image_id))
            self._described.keep(image.image_id, described)
        return FoundImage(
            reference=reference,
            digest=image.digest,
            image_id=f"sha256:{image.image_id}",
            config=described.config,
            size=image.size,
            is_here=True,
        )

    def _kept(self, image: ImageRecord) -> KeptImage:
        return KeptImage(
            names=[_shown(name) for name in image.names],
            digest=image.digest,
            image_id=f"sha256:{image.image_id}",
            size=self._index.own_size(image),
            used_at=image.used_ns / SECOND,
            holders=self._index.holders_of(image.image_id),
        )

    async def _touch(self, image: ImageRecord) -> None:
        image = msgspec.structs.replace(
            self._index.image(image.image_id) or image, used_ns=self._clock.now_ns()
        )
        if self._index.image(image.image_id) is not None:
            self._index.add_image(image)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._files.touch, image)

    def _is_whole(self, image: ImageRecord) -> bool:
        return self._files.tree(image).is_dir()

    async def _disk(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            raise io_failure(error, "use", self._files.root, "Images") from error


def _shown(name: str) -> str:
    head, at, digest = name.partition("@")
    shown = parse(head).shown
    return shown.rpartition(":")[0] + at + digest if at else shown


def from_options(options: PluginOptions, *, owner: Owner) -> Images:
    """Return the store of a node, made from its settings; it is not open yet.

    Raises
    ------
    ConfigurationError
        The quota, or what jobs may reach, is configured wrongly.
    """
    root = options.data_dir / "images"
    return Images(
        root,
        reach=Reach.of(options.settings(REACH_KEY)),
        quota=quota_of(options.settings(KEY), root),
        owner=owner,
        clock=options.clock,
    )

"""The store's directory. Functions here block.

``layers/<hex>/`` holds the ``tree`` of one layer and ``about.json``; ``images/<hex>/`` the ``tree`` of an image (hard
links into layers; an image of one layer has none, and is that layer), ``config.json`` and ``about.json``, whose
modification time is the last use; ``holders/`` who holds what; ``blobs/`` downloads; ``work/`` what is being made.
Layers and images appear by one rename, and what a crash left is removed when the store is opened.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from bacalhau_jupyter.engines.images.keeping.records import (
    HolderRecord,
    ImageRecord,
    KeptLayer,
    StoreRecord,
)
from bacalhau_jupyter.engines.images.unpacking.orders import Owner
from bacalhau_jupyter.lib.clock import boot_id
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import Conflict

ABOUT, CONFIG, TREE, LOCK = "about.json", "config.json", "tree", "lock"
_STRUCT = TypeVar("_STRUCT", bound=msgspec.Struct)


class ImageFiles:
    """Layers, images and holders on the disk.

    Parameters
    ----------
    root
        Absolute; no other process of ours may have it open.
    """

    def __init__(self, root: Path, owner: Owner) -> None:
        self.root = root
        self.layers, self.images, self.holders = root / "layers", root / "images", root / "holders"
        self.blobs, self.work, self._leaving = root / "blobs", root / "work", root / "leaving"
        self._owner = owner
        self._boot = boot_id()
        self._lock = -1
        self._known = (0, 0)

    def open(self) -> tuple[list[KeptLayer], list[ImageRecord], list[HolderRecord]]:
        """Make the directories, remove what a crash left, and return what is there.

        Raises
        ------
        Conflict
            Another process has the store open.
        OSError
            The directory can't be made.
        """
        self.make_directories()
        try:
            if _read(self.root / ABOUT, StoreRecord) != StoreRecord(owner=self._owner):
                # Made for another user: what is in there can't be used.
                for place in (self.layers, self.images, self.holders):
                    self._remove(place)
            for place in (self.blobs, self.work):
                self._remove(place)
            self.make_directories()
            _write(self.root / ABOUT, StoreRecord(owner=self._owner))
            layers = list(self._read_layers())
            images = list(self._read_images({kept.layer.diff_id for kept in layers}))
            return layers, images, list(self._read_holders({image.image_id for image in images}))
        except BaseException:
            self.close()
            raise

    def make_directories(self) -> bool:
        """Make what is missing, also below a running node: somebody may have removed all of it.

        Returns
        -------
        bool
            Whether the images that were here are not: the directory is another one than before, or parts are missing.

        Raises
        ------
        Conflict
            Another process has the directory by now.
        OSError
            It can't be made.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock < 0 or not _is_open_at(self._lock, self.root / LOCK):
            self.close()
            self._take_lock()
        # A lock that went alone (something tidies old files away) leaves all images where they are.
        is_new = not all(place.is_dir() for place in (self.layers, self.images, self.holders))
        for place in (self.layers, self.images, self.holders, self.blobs, self.work, self._leaving):
            place.mkdir(mode=0o700, exist_ok=True)
        known, self._known = self._known, _identity(self.root)
        return is_new or known != self._known

    def close(self) -> None:
        """Let another process have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def new_place(self) -> Path:
        """Return an empty directory for something that is being made."""
        place = self.work / uuid.uuid4().hex
        (place / TREE).mkdir(mode=0o700, parents=True)
        return place

    def tree(self, image: ImageRecord) -> Path:
        """Return where an image's file tree is."""
        own = self.images / image.image_id / TREE
        return own if image.tree_size else self.layers / image.layers[0] / TREE

    def layer_tree(self, diff_id: str) -> Path:
        """Return where a layer is unpacked."""
        return self.layers / diff_id / TREE

    def layer(self, diff_id: str) -> KeptLayer | None:
        """Return what is known of a layer."""
        return _read(self.layers / diff_id / ABOUT, KeptLayer)

    def keep_layer(self, place: Path, kept: KeptLayer) -> None:
        """Make what lies at a place (`new_place`) a layer."""
        _write(place / ABOUT, msgspec.structs.replace(kept, boot=self._boot))
        self._publish(place, self.layers / kept.layer.diff_id)

    def keep_image(self, place: Path, image: ImageRecord, config: bytes) -> ImageRecord:
        """Make what lies at a place an image; return its record."""
        image = msgspec.structs.replace(image, boot=self._boot)
        (place / CONFIG).write_bytes(config)
        _write(place / ABOUT, image)
        self._publish(place, self.images / image.image_id)
        return image

    def note_image(self, image: ImageRecord) -> None:
        """Write an image's record anew."""
        _write(self.images / image.image_id / ABOUT, image)
        self.touch(image)

    def config(self, image_id: str) -> bytes:
        """Return an image's configuration as it came."""
        return (self.images / image_id / CONFIG).read_bytes()

    def remove_layer(self, diff_id: str) -> None:
        """Take a layer out of the store; `sweep` gives its room back."""
        self._remove(self.layers / diff_id)

    def remove_image(self, image_id: str) -> None:
        """Take an image out of the store, without its layers."""
        self._remove(self.images / image_id)

    def sweep(self) -> None:
        """Remove from the disk what has gone from the store; this takes as long as the disk needs."""
        for place in self._leaving.iterdir():
            remove_tree(place)

    def note_holder(self, holder: HolderRecord) -> None:
        """Write down who holds what."""
        _write(self._holder_file(holder.holder), holder)

    def forget_holder(self, holder: str) -> None:
        """Remove that."""
        self._holder_file(holder).unlink(missing_ok=True)

    def touch(self, image: ImageRecord) -> None:
        """Note when an image was used."""
        os.utime(self.images / image.image_id / ABOUT, ns=(image.used_ns, image.used_ns))

    def sync(self) -> None:
        """Wait until all is on the disk."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), "syncfs failed")
        finally:
            os.close(descriptor)

    def settled(self, layers: Sequence[str]) -> None:
        """Note of layers that they are on the disk.

        What is not noted is not trusted after the machine went down: files may have lost what was in them.
        """
        for diff_id in layers:
            if (kept := self.layer(diff_id)) is not None:
                _write(self.layers / diff_id / ABOUT, msgspec.structs.replace(kept, boot=""))

    def _publish(self, place: Path, final: Path) -> None:
        if final.exists():
            self._remove(final)
        place.rename(final)

    def _remove(self, place: Path) -> None:
        gone = self._leaving / uuid.uuid4().hex
        with contextlib.suppress(FileNotFoundError):
            # Half a tree never has its name, and nobody waits for a slow disk.
            place.rename(gone)

    def _take_lock(self) -> None:
        lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise Conflict(
                f"another process uses the images in {self.root}",
                hint="two nodes can't share one directory: end the other one, or give it a BACALHAU_DIR of its own",
            ) from error
        self._lock = lock

    def _read_layers(self) -> Iterator[KeptLayer]:
        for place in sorted(self.layers.iterdir()):
            kept = _read(place / ABOUT, KeptLayer)
            if kept is None or kept.layer.diff_id != place.name or not self._is_settled(kept.boot):
                self._remove(place)
            else:
                yield kept

    def _read_images(self, layers: set[str]) -> Iterator[ImageRecord]:
        for place in sorted(self.images.iterdir()):
            image = _read(place / ABOUT, ImageRecord)
            if (
                image is None
                or image.image_id != place.name
                or not layers.issuperset(image.layers)
                or not self._is_settled(image.boot)
                or not (place / CONFIG).is_file()
            ):
                self._remove(place)
            else:
                used_ns = (place / ABOUT).stat().st_mtime_ns
                yield msgspec.structs.replace(image, used_ns=used_ns)

    def _read_holders(self, images: set[str]) -> Iterator[HolderRecord]:
        for file in sorted(self.holders.iterdir()):
            holder = _read(file, HolderRecord)
            if holder is None or holder.image_id not in images:
                file.unlink(missing_ok=True)
            else:
                yield holder

    def _is_settled(self, boot: str) -> bool:
        return boot in ("", self._boot)

    def _holder_file(self, holder: str) -> Path:
        return self.holders / f"{hashlib.sha256(holder.encode()).hexdigest()}.json"


def _identity(directory: Path) -> tuple[int, int]:
    facts = directory.stat()
    return facts.st_dev, facts.st_ino


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _read(path: Path, kind: type[_STRUCT]) -> _STRUCT | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(path: Path, record: msgspec.Struct) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(record))
    part.replace(path)

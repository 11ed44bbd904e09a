"""Packing a result without copying its large files, which lie beside the archive then (`held`). Functions here block.

Only what nobody can write to any more is kept as it is: a plain file of this user with a single name, which no other
process has open. Whatever else a job left is packed, and so is what would shrink by half.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from bacalhau_jupyter.lib.clock import boot_id
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.archive.blocks import BLOCK, shrinks_to
from bacalhau_jupyter.transfer.archive.held import ARCHIVE, LAYOUT, MAX_HELD, Gap, HeldFile, Layout
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.parts import PART, create, part_beside, sync_directory
from bacalhau_jupyter.transfer.core.gathering import Gathering, Item
from bacalhau_jupyter.transfer.core.taking import link_descriptor

MIN_SIZE = 8 * BLOCK
"""Bytes of a file that is worth a name of its own."""

_SYNCED = "synced"
_WORTH_PACKING = 0.5
_SAMPLES, _SAMPLE = 16, 8192
_EXECUTABLE = 0o111


def pack_result(
    source: Gathering, target: Path, progress: Progress = no_progress, stop: threading.Event | None = None
) -> bool:
    """Write a result to ``target``, an archive or a directory that stands for one; it appears whole or not at all.

    Returns
    -------
    bool
        Whether it is on the disk already: a directory is after `sync_result`.

    Raises
    ------
    IOFailure
        The disk is full, say. Nothing is left behind, and an earlier ``target`` stays.
    Interrupted
        ``stop`` was set.
    """
    with part_beside(target) as part:
        keeper = _Keeper(part)
        with create(part / ARCHIVE) as file:
            pack_into(source, file, progress=progress, stop=stop, keeper=keeper)
            file.flush()
            if not keeper.files:
                os.fsync(file.fileno())
            size = file.tell()
        if not keeper.files:
            _replace(part / ARCHIVE, target)
            sync_directory(target.parent)
            return True
        layout = Layout(size=0, block=BLOCK, boot=boot_id(), files=keeper.files, gaps=keeper.gaps)
        layout = msgspec.structs.replace(layout, size=size + layout.stored)
        with create(part / LAYOUT) as file:
            file.write(msgspec.msgpack.encode(layout))
        _replace(part, target)
        return False


def sync_result(directory: Path) -> None:
    """Bring a result to the disk, and note that it is there; its times stay what they are.

    Raises
    ------
    OSError
        It is gone, or the disk does not take it.
    """
    for name in sorted(os.listdir(directory)):  # noqa: PTH208
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    before = directory.stat()
    create(directory / _SYNCED).close()
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    sync_directory(directory)
    sync_directory(directory.parent)


def is_synced(directory: Path) -> bool:
    """Whether a result is known to be on the disk."""
    return (directory / _SYNCED).exists()


def remove_result(target: Path) -> None:
    """Remove a result, whatever form it has; who has it open goes on reading.

    Raises
    ------
    OSError
        It can't be removed.
    """
    gone = target.with_name(f".{target.name}.{os.urandom(6).hex()}{PART}")
    with suppress(FileNotFoundError):
        target.rename(gone)
        error = remove_tree(gone)
        if error is not None:
            raise error


class _Keeper:
    """Takes files over by another name in the directory of the result (`packing.Keeper`)."""

    def __init__(self, directory: Path) -> None:
        self.files: list[HeldFile] = []
        self.gaps: list[Gap] = []
        self._directory = directory

    def keep(self, descriptor: int, item: Item) -> bool:
        """Take a file over, if nobody can write to it and it is worth it."""
        info = os.fstat(descriptor)
        if len(self.files) >= MAX_HELD or not item.ours or not _is_fit(info) or _shrinks(descriptor, info):
            return False
        if not _only_ours(descriptor):
            return False
        if not self._link(descriptor):
            os.fchmod(descriptor, stat.S_IMODE(info.st_mode))
            return False
        self.files.append(HeldFile(os.fsencode(item.name), info.st_size, info.st_mtime_ns))
        return True

    def note(self, offset: int, blocks: int, at: int) -> None:
        """Note what of the archive the latest file stands for."""
        self.gaps.append(Gap(at, len(self.files) - 1, offset, blocks))

    def _link(self, descriptor: int) -> bool:
        place = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link_descriptor(descriptor, str(len(self.files)), place)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            return False  # another disk, or a file system without further names
        finally:
            os.close(place)
        return True


def _is_fit(info: os.stat_result) -> bool:
    """Whether a file is one of this user's alone, large, and takes as much of the disk as it has bytes."""
    return (
        info.st_size >= MIN_SIZE
        and info.st_nlink == 1
        and info.st_uid == os.geteuid()
        and not info.st_mode & _EXECUTABLE
        and info.st_blocks * 512 >= info.st_size
    )


def _shrinks(descriptor: int, info: os.stat_result) -> bool:
    step = info.st_size // _SAMPLES
    sample = b"".join(os.pread(descriptor, _SAMPLE, at * step) for at in range(_SAMPLES))
    return shrinks_to(sample) < _WORTH_PACKING


def _only_ours(descriptor: int) -> bool:
    """Take the right to write away, and ask the kernel whether another process has the file open, even for reading.

    Who has it open could give himself the right again.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    try:
        os.fchmod(descriptor, 0o444)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        with suppress(OSError):
            os.fchmod(descriptor, mode)
        return False
    return True


def _replace(source: Path, target: Path) -> None:
    """Give something its name; what has the name goes."""
    if target.is_dir() or (source.is_dir() and target.exists()):
        remove_result(target)
    source.replace(target)

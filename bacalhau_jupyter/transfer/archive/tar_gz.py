"""Archives: a directory to a ``.tar.gz`` and back, in a thread, all or nothing."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.archive.packing import COMPONENT, PackReport, pack_into
from bacalhau_jupyter.transfer.archive.parts import create, part_beside, sync_directory
from bacalhau_jupyter.transfer.archive.unpacking import Limits, UnpackReport, unpack_into
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.gathering import Gathering

__all__ = ["Limits", "PackReport", "UnpackReport", "pack_tar_gz", "unpack", "unpack_blocking"]


async def pack_tar_gz(
    directory: Path | Gathering,
    target: Path,
    *,
    aliases: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> PackReport:
    """Pack a directory into the file ``target`` (0600), which appears whole or not at all and is on disk then.

    Parameters
    ----------
    directory
        What to pack (see `packing.pack_into`); members are named relative to it, ``./`` first, directories before
        their entries.
    target
        Replaced if it exists.
    aliases
        Absolute paths as the job saw them and their names in the archive, so that absolute links between
        results stay whole.
    progress
        Gets phase ``packing`` and bytes read.

    Raises
    ------
    IOFailure
        An entry can't be read or is a link that points outside, or the disk is full. Nothing is left behind, and
        an earlier ``target`` stays.
    """
    return await run_interruptible(partial(_pack, directory, target, aliases, progress))


def _pack(
    directory: Path | Gathering,
    target: Path,
    aliases: Mapping[str, str] | None,
    progress: Progress,
    stop: threading.Event,
) -> PackReport:
    with part_beside(target) as part:
        whole = part / "packed"
        with create(whole) as file:
            report = pack_into(directory, file, aliases=aliases, progress=progress, stop=stop)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(target)
    sync_directory(target.parent)
    return report


async def unpack(
    archive: Path | BinaryIO,
    directory: Path,
    *,
    limits: Limits | None = None,
    readable: bool = False,
    progress: Progress = no_progress,
) -> UnpackReport:
    """Unpack a tar (gzip or plain) of unknown origin; ``directory`` appears whole or not at all.

    Parameters
    ----------
    archive
        A path, or an open seekable binary file.
    directory
        Must not exist, or be empty; its parent must exist.
    readable
        Whether every user may read the files: a job may run as another user.
    progress
        Gets phase ``unpacking``, packed bytes done and in all.

    Raises
    ------
    IOFailure
        The archive is broken, larger than ``limits``, or has a member that is absolute, climbs out, leads out
        through a link, stands twice, or is a device; or the disk is full.
    """
    work = partial(unpack_blocking, archive, directory, limits=limits, readable=readable, progress=progress)
    return await run_interruptible(lambda stop: work(stop=stop))


def unpack_blocking(
    archive: Path | BinaryIO,
    directory: Path,
    *,
    limits: Limits | None = None,
    readable: bool = False,
    progress: Progress = no_progress,
    stop: threading.Event | None = None,
) -> UnpackReport:
    """Do what `unpack` does in the calling thread."""
    limits = limits or Limits()
    if directory.is_symlink() or (directory.exists() and not _is_empty(directory)):
        raise IOFailure(
            f"could not unpack into {directory}: something is there already",
            hint="choose a directory that does not exist, or an empty one",
            component=COMPONENT,
        )
    part: Path | None = None
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".part", dir=directory.parent))
        if isinstance(archive, Path):
            with archive.open("rb") as file:
                report = unpack_into(
                    file, part, limits=limits, readable=readable, progress=progress, stop=stop
                )
        else:
            report = unpack_into(
                archive, part, limits=limits, readable=readable, progress=progress, stop=stop
            )
        part.chmod(0o755 if readable else 0o700)
        part.replace(directory)
        part = None
        return report
    except OSError as error:
        if isinstance(archive, Path) and error.filename == str(archive):
            raise io_failure(error, "read the archive", archive, COMPONENT) from error
        raise io_failure(error, "unpack into", directory, COMPONENT) from error
    finally:
        if part is not None:
            remove_tree(part)


def _is_empty(directory: Path) -> bool:
    try:
        return next(directory.iterdir(), None) is None
    except OSError:
        return False

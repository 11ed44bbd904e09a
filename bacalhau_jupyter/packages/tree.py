"""What may lie in a set of packages: plain files and directories, which every user may read. Functions here block."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.errors import BadRequest, ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes

MAX_FILES = 200_000
_BLOCK = 1 << 20
_OWN_FILES = (".lock",)
"""What the installer leaves at the top beside the packages."""


def settle(site: Path, room: int) -> tuple[int, list[tuple[str, int, str]]]:
    """Check a directory of packages, open it to readers and close it to writers.

    Parameters
    ----------
    site
        The directory.
    room
        Bytes that it may take.

    Returns
    -------
    tuple
        Its bytes; path, size and SHA-256 of each file but bytecode.

    Raises
    ------
    BadRequest
        It holds a link, a device or more files than a set may have.
    ResourceExhausted
        It is too large.
    OSError
        It can't be read.
    """
    files: list[tuple[str, int, str]] = []
    total = 0
    for name in _OWN_FILES:
        (site / name).unlink(missing_ok=True)
    for entry in walk(site):
        mode = entry.info.st_mode
        if stat.S_ISDIR(mode):
            os.chmod(entry.name, 0o755, dir_fd=entry.directory)
            continue
        if not stat.S_ISREG(mode):
            raise BadRequest(f"packages hold plain files only, and {entry.path} is not one")
        total += entry.info.st_size
        if total > room:
            raise ResourceExhausted(
                f"the packages take more than the {format_bytes(room)} that there is room for"
            )
        if len(files) >= MAX_FILES:
            raise BadRequest(f"the packages have more than {MAX_FILES} files")
        descriptor = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.directory)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            os.fchmod(descriptor, 0o555 if mode & 0o100 else 0o444)
            # Bytecode is made here, and made anew it may differ.
            if not entry.path.endswith(".pyc"):
                files.append((entry.path, entry.info.st_size, _digest(file.fileno())))
    return total, files


def measured(directory: Path) -> int:
    """Return the bytes of all files below a directory; a file under several names counts once."""
    return sum(_sizes(directory))


def _sizes(directory: Path) -> Iterator[int]:
    seen: set[tuple[int, int]] = set()
    try:
        for entry in walk(directory, lambda _path, _error: None):
            identity = (entry.info.st_dev, entry.info.st_ino)
            if stat.S_ISREG(entry.info.st_mode) and identity not in seen:
                seen.add(identity)
                yield entry.info.st_size
    except OSError:
        return


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while block := os.read(descriptor, _BLOCK):
        digest.update(block)
    return digest.hexdigest()

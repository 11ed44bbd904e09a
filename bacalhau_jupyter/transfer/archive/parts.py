"""What is written beside its place and gets its name when it is whole. Functions here block."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.transfer.archive.packing import COMPONENT
from bacalhau_jupyter.transfer.core.files import io_failure

PART = ".part"
"""How names end that stand for nothing yet, or for nothing any more."""


@contextmanager
def part_beside(target: Path) -> Iterator[Path]:
    """Make a directory beside ``target`` for what becomes ``target``; what is still there at the end is removed.

    Raises
    ------
    IOFailure
        Of each `OSError` of the body: with the name of what could not be read, or else of the target.
    """
    part: Path | None = None
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=PART, dir=target.parent))
        yield part
    except OSError as error:
        # What is read is opened by name, so errors about it carry one; errors of writing don't.
        if part is not None and isinstance(error.filename, str) and not error.filename.startswith(str(part)):
            raise io_failure(error, "pack", Path(error.filename), COMPONENT) from error
        raise io_failure(error, "write", target, COMPONENT) from error
    finally:
        if part is not None:
            remove_tree(part)


def create(path: Path) -> BinaryIO:
    """Open a new file (0600) for writing; nothing that has the name is followed or replaced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def sync_directory(directory: Path) -> None:
    """Make a rename in a directory outlive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

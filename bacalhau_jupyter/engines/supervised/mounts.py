"""Mounts of a job: what appears where, and one inside another."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.beneath import FileId

MAX_ENTRIES = 5000
"""How many entries of a directory may be listed one by one."""


class NotPlaced(Exception):
    """Mounts can't be put where they are wanted; the text says which and why."""


class TooManyEntries(NotPlaced):
    """A directory would have to be taken apart entry by entry, and has too many."""


@dataclass(frozen=True)
class Pin:
    """What a shown path really is: where it lies, and what it must still be there when it is shown.

    ``device`` 0 is not compared.
    """

    real: str
    device: int
    inode: int


@dataclass(frozen=True)
class Mount:
    """A host path at a place inside the job; no ``source`` means an empty directory, or a link with the text ``link``.

    ``checked`` says which object has to be found at ``source``; None for the node's own, private files.
    """

    target: str
    source: Path | None
    writable: bool = False
    checked: FileId | None = None
    link: str = ""


def lay_out(mounts: Sequence[Mount]) -> list[Mount]:
    """Order mounts so that parents come first, and make room for one inside another.

    A mount point can't be created in another user's directory (it would change the input), so a directory that has
    other targets inside is replaced by an empty one with its entries mounted one by one. Links among them stay links:
    they lead to what the job sees there, never to what this host has there.

    Raises
    ------
    NotPlaced
        Such a directory has too many entries, or a target lies behind a link in it.
    Changed, OSError
        A source is not what it was, or can't be read.
    """
    by_target = {mount.target: mount for mount in mounts}
    result: list[Mount] = []

    def place(mount: Mount, children: list[str]) -> None:
        if not children or mount.writable or mount.source is None:
            result.append(mount)
            return
        with _opened(mount) as directory:
            if directory is None:
                result.append(mount)
                return
            result.append(Mount(mount.target, None))
            for entry in _entries(mount, directory):
                if entry.target not in by_target:
                    inner = [child for child in children if child.startswith(entry.target + "/")]
                    if entry.link and inner:
                        raise NotPlaced(f"{inner[0]} lies behind the link {entry.target} of an input")
                    place(entry, inner)

    for target in sorted(by_target, key=lambda each: (each.count("/"), each)):
        children = [other for other in by_target if other.startswith(target.rstrip("/") + "/")]
        place(by_target[target], children)
    return sorted(result, key=lambda each: each.target.count("/"))


@contextlib.contextmanager
def _opened(mount: Mount) -> Iterator[int | None]:
    """Open a mount's source for listing; None when it is not a directory."""
    assert mount.source is not None
    if mount.checked is None and not mount.source.is_dir():
        yield None
        return
    if mount.checked is None:
        opened = os.open(mount.source, beneath.DIRECTORY)
    else:
        held = beneath.open_checked(mount.source, mount.checked)
        try:
            opened = beneath.open_beneath(held, "", beneath.DIRECTORY) if beneath.is_directory(held) else -1
        finally:
            os.close(held)
    try:
        yield opened if opened >= 0 else None
    finally:
        if opened >= 0:
            os.close(opened)


def _entries(mount: Mount, directory: int) -> Iterator[Mount]:
    assert mount.source is not None
    with os.scandir(directory) as iterator:
        names = [entry.name for _, entry in zip(range(MAX_ENTRIES + 1), iterator, strict=False)]
    if len(names) > MAX_ENTRIES:
        raise TooManyEntries(f"{mount.source} has more than {MAX_ENTRIES} entries")
    for name in sorted(names):
        target = f"{mount.target.rstrip('/')}/{name}"
        state = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(state.st_mode):
            yield Mount(target, None, link=os.readlink(name, dir_fd=directory))
        else:
            checked = (state.st_dev, state.st_ino) if mount.checked is not None else None
            yield Mount(target, mount.source / name, mount.writable, checked)

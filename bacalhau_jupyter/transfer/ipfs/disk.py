"""What a download from IPFS does to the disk: short blocking steps, each in a thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.ipfs.tree import IpfsTree


def make_directory(path: Path) -> None:
    """Make a directory that everyone may read, whatever the umask."""
    path.mkdir()
    path.chmod(0o755)


def present(tree: IpfsTree, target: Path) -> int:
    """Make the directories that lack; return the bytes that are there."""
    present = 0
    for entry in tree.entries:
        path = target / entry.path
        if entry.kind is EntryKind.DIRECTORY and not path.is_dir():
            make_directory(path)
        elif entry.kind is EntryKind.FILE and path.exists():
            present += path.lstat().st_size
    return present


def incomplete(tree: IpfsTree, target: Path) -> list[tuple[ResultEntry, int]]:
    """Return the files that lack bytes, and how many they have."""
    missing = []
    for entry in tree.files:
        try:
            have = (target / entry.path).lstat().st_size
        except FileNotFoundError:
            missing.append((entry, 0))
            continue
        if have != entry.size:
            missing.append((entry, have))
    return missing


def make_links(links: Sequence[ResultEntry], target: Path) -> None:
    """Make symbolic links; `FileExistsError` names the one that is there already."""
    for entry in links:
        try:
            (target / entry.path).symlink_to(entry.target)
        except FileExistsError as error:
            raise FileExistsError(error.errno, error.strerror, entry.path) from error


def open_part(path: Path) -> int:
    """Open a file to go on writing it; everyone may read it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    os.fchmod(descriptor, 0o644)
    return descriptor

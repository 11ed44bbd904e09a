"""Inputs and outputs in a directory, for when nothing can be mounted or the job is another user.

Inputs are never changed: what appears in ``inputs/`` are links (or copies, where the job's user could not follow a
link), and the confinement keeps them read-only.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from pathlib import Path

from bacalhau_jupyter.engines.process import host
from bacalhau_jupyter.lib.trees import copy_tree, make_directories, walk

MAX_LINKS = 20_000
"""Above this many files a directory appears as one link."""


def mirror(source: Path, target: Path, ours: Path | None) -> None:
    """Show ``source`` at ``target``: directories are made, files linked.

    Parameters
    ----------
    source, target
        What to show where; the target's parent exists.
    ours
        Below this directory files are hard-linked (they are the node's own); others get symbolic links, since a
        hard link would change the original's metadata.
    """
    if not source.is_dir():
        make_directories(target.parent)
        _link(source, target, ours)
        return
    if not target.exists() and _count(source) > MAX_LINKS:
        target.symlink_to(source)
        return
    for entry in walk(source.resolve(), _leave_out):
        if stat.S_ISDIR(entry.info.st_mode):
            make_directories(target / entry.path)
        else:
            _link(source / entry.path, target / entry.path, ours)


def _link(source: Path, target: Path, ours: Path | None) -> None:
    if ours is not None and not source.is_symlink() and ours in source.parents:
        try:
            target.hardlink_to(source)
            return
        except OSError:
            pass  # another file system, or one without hard links
    target.symlink_to(source)


def _count(source: Path) -> int:
    return sum(1 for _ in itertools.islice(walk(source.resolve(), _leave_out), 1, MAX_LINKS + 2))


def _leave_out(_path: str, _error: OSError) -> None:
    """Go on: what can't be read here is not shown."""


def open_way(root: Path, target: Path, user: int) -> None:
    """Create the directories from ``root`` down to ``target``, each open to ``user`` whatever the node's umask is."""
    for directory in [*reversed(target.relative_to(root).parents), target.relative_to(root)]:
        made = root / directory
        made.mkdir(exist_ok=True)
        if user >= 0:
            hand_over_directory(made, user)


def copy(source: Path, target: Path, user: int) -> None:
    """Copy ``source`` to ``target`` so that ``user`` can read it, and nobody else but the node."""
    if source.is_dir():
        copy_tree(source.resolve(), target)
    else:
        shutil.copyfile(source, target)
    hand_over(target, user)


def hand_over(path: Path, user: int) -> None:
    """Let the group ``user`` read a tree of the node's own."""
    for entry in walk(path):
        if not stat.S_ISLNK(entry.info.st_mode):
            mode = entry.info.st_mode & 0o700
            os.chown(entry.name, -1, user, dir_fd=entry.directory)
            os.chmod(entry.name, mode | mode >> 3 & 0o050, dir_fd=entry.directory)


def hand_over_directory(path: Path, user: int) -> None:
    """Let the group ``user`` enter and list one directory, and nobody else but the node."""
    os.chown(path, -1, user)
    path.chmod(0o750)


def private_directory(path: Path, user: int) -> Path:
    """Create a directory that only the job's user may use (-1: the node's own user)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user >= 0:
        os.chown(path, user, user)
    return path


def can_follow(path: Path, user: int, *, parents: bool) -> bool:
    """Whether the job's user can read all of an input where it is."""
    return user < 0 or host.tree_readable_by_others(path, parents=parents)

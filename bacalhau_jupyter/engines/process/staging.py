"""Inputs and outputs in a directory, for when nothing can be mounted or the job is another user.

Inputs are never changed: what appears in ``inputs/`` are links (or copies, where the job's user could not follow a
link), and the confinement keeps them read-only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bacalhau_jupyter.engines.process import host

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
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(source, target, ours)
        return
    if not target.exists() and _count(source) > MAX_LINKS:
        target.symlink_to(source)
        return
    for directory, names, files in os.walk(source):
        place = target / Path(directory).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            _link(Path(directory, name), place / name, ours)
        for name in names:
            if Path(directory, name).is_symlink():
                _link(Path(directory, name), place / name, ours)


def _link(source: Path, target: Path, ours: Path | None) -> None:
    if ours is not None and not source.is_symlink() and ours in source.parents:
        try:
            target.hardlink_to(source)
            return
        except OSError:
            pass  # another file system, or one without hard links
    target.symlink_to(source)


def _count(source: Path) -> int:
    total = 0
    for _, names, files in os.walk(source):
        total += len(names) + len(files)
        if total > MAX_LINKS:
            break
    return total


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
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)
    hand_over(target, user)


def hand_over(path: Path, user: int) -> None:
    """Let the group ``user`` read a tree of the node's own."""
    for directory, names, files in os.walk(path):
        for name in [*names, *files]:
            _readable_for(Path(directory, name), user)
    _readable_for(path, user)


def _readable_for(path: Path, user: int) -> None:
    if not path.is_symlink():
        mode = path.stat().st_mode & 0o700
        os.chown(path, -1, user)
        path.chmod(mode | mode >> 3 & 0o050)


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

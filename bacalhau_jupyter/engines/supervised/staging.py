"""Inputs and outputs in a directory, for when nothing can be mounted or the job is another user.

Inputs are never changed: what appears in ``inputs/`` are links (or copies, where the job's user could not follow a
link), and the confinement keeps them read-only.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.mounts import NotPlaced
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.trees import make_directories, walk
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.inputs import open_input

COMPONENT = "Process"

MAX_LINKS = 20_000
"""Above this many files a directory appears as one link."""
_BLOCK = 1 << 20
_FOR_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def mirror(mount: InputMount, target: Path, ours: Path | None, taken: Collection[Path] = ()) -> None:
    """Show an input at ``target``: directories are made, files linked, links repeated as they are.

    Parameters
    ----------
    mount, target
        What to show where; the target's parent exists.
    ours
        Below this directory files are hard-linked (they are the node's own); others get symbolic links, since a
        hard link would change the original's metadata.
    taken
        Where other inputs appear; nothing of this one is put there.
    """
    opened = open_input(mount, COMPONENT)
    try:
        if not beneath.is_directory(opened):
            _link(mount.path, target, ours)
        elif not taken and not target.exists() and (mount.settled or _count(opened) > MAX_LINKS):
            target.symlink_to(mount.path)
        else:
            make_directories(target)
            _mirror_below(opened, mount.path, target, ours, taken)
    finally:
        os.close(opened)


def _mirror_below(
    opened: int, source: Path, target: Path, ours: Path | None, taken: Collection[Path]
) -> None:
    for entry in walk(opened, _leave_out):
        place = target / entry.path
        if any(each == place or each in place.parents for each in taken):
            continue
        if stat.S_ISDIR(entry.info.st_mode):
            place.mkdir(exist_ok=True)
        elif stat.S_ISLNK(entry.info.st_mode):
            place.symlink_to(os.readlink(entry.name, dir_fd=entry.directory))
        else:
            _link(source / entry.path, place, ours, entry.directory)


def _link(source: Path, target: Path, ours: Path | None, directory: int | None = None) -> None:
    if ours is not None and ours in source.parents:
        try:
            name = source if directory is None else source.name
            os.link(name, target, src_dir_fd=directory, follow_symlinks=False)
            return
        except OSError:
            pass  # another file system, or one without hard links
    target.symlink_to(source)


def _count(opened: int) -> int:
    return sum(1 for _ in itertools.islice(walk(opened, _leave_out), 1, MAX_LINKS + 2))


def _leave_out(_path: str, _error: OSError) -> None:
    """Go on: what can't be read here is not shown."""


def open_way(root: Path, target: Path, user: int) -> None:
    """Create the directories from ``root`` down to ``target``, each open to ``user`` whatever the node's umask is.

    Raises
    ------
    NotPlaced
        A link is in the way: what an input holds must not lead out of the job's directory.
    """
    for directory in [*reversed(target.relative_to(root).parents), target.relative_to(root)]:
        made = root / directory
        if made.is_symlink():
            raise NotPlaced(f"{target.relative_to(root)} lies behind the link {directory} of an input")
        made.mkdir(exist_ok=True)
        if user >= 0:
            hand_over_directory(made, user)


def copy(mount: InputMount, target: Path, user: int, taken: Collection[Path] = ()) -> None:
    """Copy an input to ``target`` so that only ``user`` and the node can read it.

    Sockets, pipes and devices are left out, and what would be at a place of ``taken``.
    """
    opened = open_input(mount, COMPONENT)
    try:
        if beneath.is_directory(opened):
            make_directories(target)
            for entry in walk(opened):
                place = target / entry.path
                if any(each == place or each in place.parents for each in taken):
                    continue
                if stat.S_ISDIR(entry.info.st_mode):
                    place.mkdir(exist_ok=True)
                elif stat.S_ISLNK(entry.info.st_mode):
                    place.symlink_to(os.readlink(entry.name, dir_fd=entry.directory))
                elif stat.S_ISREG(entry.info.st_mode):
                    _copy_file(os.open(entry.name, _FOR_READING, dir_fd=entry.directory), place)
        else:
            make_directories(target.parent)
            _copy_file(open_input(mount, COMPONENT, _FOR_READING), target)
    finally:
        os.close(opened)
    hand_over(target, user)


def _copy_file(opened: int, target: Path) -> None:
    """Copy an open file, and close it; leave out anything that is not a file, or no longer one."""
    with open(opened, "rb", buffering=0) as source:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return
        with target.open("wb") as copied:
            shutil.copyfileobj(source, copied, _BLOCK)


def hand_over(path: Path, user: int) -> None:
    """Let the group ``user`` read a tree of the node's own."""
    for entry in walk(path):
        if not stat.S_ISLNK(entry.info.st_mode):
            mode = entry.info.st_mode & 0o700
            os.chown(entry.name, -1, user, dir_fd=entry.directory)
            os.chmod(entry.name, mode | mode >> 3 & 0o050, dir_fd=entry.directory)


def hand_over_directory(path: Path, user: int) -> None:
    """Let only the group ``user`` and the node enter and list one directory."""
    os.chown(path, -1, user)
    path.chmod(0o750)


def private_directory(path: Path, user: int) -> Path:
    """Create a directory that only the job's user may use (-1: the node's own user)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user >= 0:
        os.chown(path, user, user)
    return path


def can_follow(mount: InputMount, user: int, *, parents: bool) -> bool:
    """Whether the job's user can read all of an input where it is.

    A wrong answer (everything may change) gives nothing away: it is the job's user that opens the files.
    """
    if user < 0:
        return True
    if not host.readable_by_others(mount.path, parents=parents):
        return False
    if mount.settled:
        return True
    opened = open_input(mount, COMPONENT)
    try:
        if not beneath.is_directory(opened):
            return True
        unreadable: list[str] = []
        for entry in walk(opened, lambda path, _error: unreadable.append(path)):
            mode = entry.info.st_mode
            if unreadable or not (stat.S_ISLNK(mode) or host.open_to_others(mode)):
                return False
        return not unreadable
    finally:
        os.close(opened)

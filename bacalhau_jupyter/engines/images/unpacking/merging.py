"""Layers, each in a directory of its own, to the one tree of an image.

Files are hard links: an image costs its directories only, and layers that images share are on the disk once. Nobody
ever writes to such a file. Names are resolved below the tree alone, and no link of the image is followed outside.
"""

from __future__ import annotations

import contextlib
import os
import stat

from bacalhau_jupyter.engines.images.unpacking.linking import copy, linked
from bacalhau_jupyter.engines.images.unpacking.orders import Layer, Owner, refused
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.names import from_wire

TREE = "tree"
_MAX_LINKS = 40
MOST_WORK = 12_000_000
"""Steps in the directories of all layers; several times what large images take."""
_STEP = 16
"""Characters of a path that the kernel takes apart in one step, about."""
_TOO_LONG = "its layers have too many files, or names behind too many links, to be put together"


class Merger:
    """Puts layers on top of each other.

    Parameters
    ----------
    target
        An empty directory of ours.
    """

    def __init__(self, target: str, owner: Owner) -> None:
        self._target = target
        self._owner = owner
        self.size = 0
        self._work = 0

    def add(self, directory: str, layer: Layer) -> None:
        """Put one more layer on top.

        Raises
        ------
        IOFailure
            A hard link leads nowhere, a layer replaces what it puts there itself, or all of this takes too long.
        OSError
            The disk is full, say.
        """
        for name in map(from_wire, layer.opaques):
            self._hide_all(name)
        for name in map(from_wire, layer.whiteouts):
            self._hide(name)
        implied = frozenset(map(from_wire, layer.implied))
        dressed: list[tuple[str, str]] = []
        pending = [("", "", not self.size)]
        is_bent = False  # two ways lead to one place
        self.size += 4096
        while pending:
            name, place, is_new = pending.pop()
            if is_bent:
                self._check(place)
            source = f"{directory}/{name}" if name else directory
            with os.scandir(source) as entries:
                for entry in entries:
                    below = f"{name}/{entry.name}" if name else entry.name
                    there = f"{place}/{entry.name}" if place else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        inside, made = self._directory(there, is_implied=below in implied)
                        is_bent |= inside != there
                        pending.append((below, inside, made))
                    else:
                        self._file(entry.path, there)
            if is_new or name not in implied:
                dressed.append((source, place))
        # Last, and what lies deeper first: a directory's times change when something is made in it.
        for source, place in reversed(dressed):
            if is_bent:
                self._check(place)
            self._dress(source, place)
        for name, target in layer.links_below:
            self._link_below(from_wire(name), from_wire(target))

    def _check(self, place: str) -> None:
        """Refuse a directory whose place something else of the same layer took, on another way there.

        It may be a link by now, and what is done below it would be done wherever on this machine that leads.
        """
        if self._resolve(place) != place:
            raise refused(f"a layer puts something else in the place of its own directory {place!r}")

    def _directory(self, place: str, *, is_implied: bool) -> tuple[str, bool]:
        """Return where a directory is in the tree, and whether it was made."""
        path = self._path(place)
        with contextlib.suppress(FileNotFoundError):
            kind = os.lstat(path).st_mode
            if stat.S_ISDIR(kind):
                return place, False
            if is_implied and stat.S_ISLNK(kind) and (inside := self._resolve(place)) is not None:
                # The layer only says that something lies there: /lib may be a link to /usr/lib.
                return inside, False
            os.unlink(path)  # noqa: PTH108
        os.mkdir(path, 0o700)  # noqa: PTH102
        self.size += 4096
        return place, True

    def _file(self, source: str, place: str) -> None:
        path = self._path(place)
        try:
            self._link(source, path)
        except FileExistsError:
            self._remove(path)
            self._link(source, path)

    def _link(self, source: str, path: str) -> None:
        if not linked(source, path):
            copy(source, path, with_owner=not self._owner.is_own)
            self.size += os.lstat(path).st_size

    def _link_below(self, name: str, target: str) -> None:
        source, place = self._parent_of(target), self._parent_of(name)
        try:
            if source is None or place is None or stat.S_ISDIR(os.lstat(self._path(source)).st_mode):
                raise FileNotFoundError
            path = self._path(place)
            if os.path.lexists(path):
                self._remove(path)
            self._link(self._path(source), path)
        except (FileNotFoundError, NotADirectoryError):
            raise refused(
                f"the hard link {name!r} leads to {target!r}, which is no file of the image"
            ) from None

    def _hide(self, name: str) -> None:
        place = self._parent_of(name)
        if place is not None:
            self._remove(self._path(place))

    def _hide_all(self, name: str) -> None:
        place = self._resolve(name) if name else ""
        if place is None:
            return
        with os.scandir(self._path(place)) as entries:
            paths = [entry.path for entry in entries]
        for path in paths:
            self._remove(path)

    def _parent_of(self, name: str) -> str | None:
        """Return where a name is, links in the directories above it followed inside the tree; None: nowhere."""
        above, _, last = name.rpartition("/")
        place = self._resolve(above) if above else ""
        return None if place is None else f"{place}/{last}" if place else last

    def _resolve(self, name: str) -> str | None:
        """Return the directory of the tree that a name leads to; links count from the tree's top."""
        done: list[str] = []
        todo = name.split("/")[::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            path = self._path("/".join([*done, part]))
            try:
                kind = os.lstat(path).st_mode
                if stat.S_ISLNK(kind):
                    links += 1
                    leads = os.readlink(path)  # noqa: PTH115
                    if links > _MAX_LINKS:
                        return None
                    done = [] if leads.startswith("/") else done
                    todo += leads.split("/")[::-1]
                    continue
            except OSError:
                return None
            if not stat.S_ISDIR(kind):
                return None
            done.append(part)
        return "/".join(done)

    def _dress(self, source: str, place: str) -> None:
        info, path = os.lstat(source), self._path(place)
        if not self._owner.is_own:
            os.chown(path, info.st_uid, info.st_gid, follow_symlinks=False)
        os.chmod(path, stat.S_IMODE(info.st_mode))  # noqa: PTH101
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    def _remove(self, path: str) -> None:
        if (error := remove_tree(path)) is not None:
            raise error

    def _path(self, name: str) -> str:
        # Whatever is done to a file of the tree begins here. A few kilobytes of whiteouts behind links, or one layer
        # many times over, would keep a processor busy for days.
        self._work += 1 + len(name) // _STEP
        if self._work > MOST_WORK:
            raise refused(_TOO_LONG)
        return f"{self._target}/{name}" if name else self._target

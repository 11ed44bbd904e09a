"""Looking into an unpacked image as a process in it would: links lead to places of the image, never out of it.

Nobody changes the tree while it is held, so a name means the same for as long as an execution is prepared.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_MAX_LINKS = 40
"""As many links as the kernel follows in one path."""
_MOST_LOOKS = 16 << 20
"""Characters of all paths that are looked at for one execution: the kernel takes a deep one apart each time."""


class NotFound(Exception):
    """A path leads nowhere in the image; the text says why, as the kernel does."""


class TooManyLooks(Exception):
    """Looking for what a task needs takes too long; the text says why."""


@dataclass(frozen=True)
class Found:
    """Where a path leads in the image.

    Attributes
    ----------
    path
        Absolute, without a link in it.
    mode
        What lies there; 0 for nothing.
    """

    path: str
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether a directory lies there."""
        return stat.S_ISDIR(self.mode)


class Tree:
    """The file tree of an image.

    Parameters
    ----------
    root
        Where it lies on this host.
    covered
        Directories of the sandbox that lie over the image's own, whatever that has there.
    """

    def __init__(self, root: Path, covered: Collection[str] = ()) -> None:
        self._root = os.fspath(root)
        self._covered = covered
        self._looks = 0

    def find(self, path: str) -> Found:
        """Return where an absolute path leads; what is missing of it is taken as it is written.

        Raises
        ------
        NotFound
            It leads through too many links, or through something that is not a directory.
        TooManyLooks
            All that was looked for in this image is more than an image needs.
        """
        waiting = [name for name in reversed(path.split("/")) if name]
        here, mode, links = "", stat.S_IFDIR, 0
        while waiting:
            name = waiting.pop()
            if name == ".":
                continue
            if name == "..":
                if not mode:
                    raise NotFound("no such file or directory")
                here = posixpath.dirname(here)
                mode = stat.S_IFDIR
                continue
            if mode and not stat.S_ISDIR(mode):
                raise NotFound("not a directory")
            place = f"{here}/{name}"
            mode = self._mode(place)
            if stat.S_ISLNK(mode):
                links += 1
                if links > _MAX_LINKS:
                    raise NotFound("too many levels of symbolic links")
                target = str(Path(self._root + place).readlink())
                waiting += [each for each in reversed(target.split("/")) if each]
                here = "" if target.startswith("/") else here
                mode = stat.S_IFDIR
                continue
            here = place
        return Found(here or "/", mode)

    def read(self, path: str, limit: int) -> bytes:
        """Return the first bytes of a regular file; empty where there is none."""
        try:
            spot = self.find(path)
        except NotFound:
            return b""
        if not stat.S_ISREG(spot.mode):
            return b""
        with Path(self._root + spot.path).open("rb") as file:
            return file.read(limit)

    def facts(self, path: str) -> os.stat_result | None:
        """Return what the image itself has at a path that was found; None for nothing, or nothing in use."""
        if path in self._covered:
            return None
        try:
            return os.lstat(self._root + ("" if path == "/" else path))
        except OSError:
            return None

    def _mode(self, place: str) -> int:
        self._looks += len(place)
        if self._looks > _MOST_LOOKS:
            raise TooManyLooks("its links, its PATH or its directories are too long")
        if place in self._covered:
            return stat.S_IFDIR
        top = "/" + place.split("/", 2)[1]
        if top in self._covered:
            return 0
        try:
            return os.lstat(self._root + place).st_mode
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise NotFound((error.strerror or str(error)).lower()) from None

"""The layer that a task writes to, as it is before the task begins.

Every directory that something is mounted on is made here, as is every file of the sandbox's own: by bubblewrap they
would be made behind the links of a hostile image. What the image has at such a place is covered, never changed.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path

from bacalhau_jupyter.engines.daemonless.tree import Found, NotFound, Tree
from bacalhau_jupyter.lib.text import write_text


class Upper:
    """The layer over an image's tree.

    Parameters
    ----------
    place
        Its directory, which does not exist yet.
    tree
        The image.
    first_id
        What the image's user 0 is on this host; -1 where all of an image's users are this process's own.
    """

    def __init__(self, place: Path, tree: Tree, first_id: int) -> None:
        self._place = place
        self._tree = tree
        self._first_id = first_id
        self._modes: dict[str, int] = {}
        self._make("/")

    def directory(self, spot: Found) -> None:
        """Make sure that a directory lies at a path that was found in the image.

        Raises
        ------
        NotFound
            Something else lies there.
        """
        for path in [*reversed(_above(spot.path)), spot.path]:
            self._make(path)

    def file(self, spot: Found) -> None:
        """Make sure that something lies at a path that was found in the image: an empty file, if nothing does.

        Raises
        ------
        NotFound
            A directory lies there.
        """
        if spot.is_directory:
            raise NotFound("is a directory")
        if not spot.mode:
            self.write(spot, "")

    def write(self, spot: Found, text: str) -> None:
        """Put a file of root's at a path that was found, in place of whatever is there.

        Raises
        ------
        NotFound
            A directory lies there, or something above it is not a directory.
        """
        for path in reversed(_above(spot.path)):
            self._make(path)
        file = self._host(spot.path)
        try:
            write_text(file, text)
        except IsADirectoryError:
            # One of ours: an input lies below it, or a link of the image leads there.
            raise NotFound("is a directory") from None
        file.chmod(0o644)
        self._own(file, 0, 0)

    def link(self, spot: Found, text: str) -> None:
        """Put a link of root's at a path, in place of what the image has; what is made there already stays."""
        for path in reversed(_above(spot.path)):
            self._make(path)
        file = self._host(spot.path)
        if not os.path.lexists(file):
            file.symlink_to(text)
            self._own(file, 0, 0)

    def finish(self) -> None:
        """Give the directories the modes that they have in the image; until then they are open to us only."""
        for path, mode in self._modes.items():
            self._host(path).chmod(mode)

    def _make(self, path: str) -> None:
        if path in self._modes:
            return
        facts = self._tree.facts(path)
        if facts is not None and not stat.S_ISDIR(facts.st_mode):
            raise NotFound("not a directory")
        directory = self._host(path)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            # A file of ours, which the image does not have.
            raise NotFound("not a directory") from None
        # A directory of this layer shows with its own owner and mode, not with the image's.
        if facts is not None:
            self._own(directory, facts.st_uid, facts.st_gid)
        else:
            self._own(directory, 0, 0)
        self._modes[path] = stat.S_IMODE(facts.st_mode) if facts is not None else 0o755

    def _own(self, path: Path, uid: int, gid: int) -> None:
        if self._first_id >= 0:
            os.chown(path, self._first_id + uid, self._first_id + gid, follow_symlinks=False)

    def _host(self, path: str) -> Path:
        return self._place / path.lstrip("/") if path != "/" else self._place


def _above(path: str) -> list[str]:
    """Return the directories above a path, innermost first."""
    above = []
    while path != "/":
        path = posixpath.dirname(path)
        above.append(path)
    return above

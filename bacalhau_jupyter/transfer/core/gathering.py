"""Which files of a result directory are published: one walk that every publisher shares.

A job may leave anything behind: links to inputs, links to nowhere, pipes, unreadable files. What can be
published is; what can't is left out, with a reason in the result. Nothing a job left makes its
publishing fail.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.job_view import (
    JobView,
    Parts,
    ResolvedPath,
    Where,
    make_readable,
    open_directory,
    open_entry,
    open_file,
)
from bacalhau_jupyter.transfer.core.links import is_plain_link
from bacalhau_jupyter.transfer.core.readers import EntryKind

MAX_NAME = 4096
"""Bytes of a name (with its directories) that every reader of results can take."""

MOST_LEFT_OUT = 10_000
"""Entries that are remembered as left out."""

_SHOWN = 200
_FDS = Path("/proc/self/fd")
_OURS_TO_SOLVE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True)
class LeftOut:
    """Something that a job left behind and that is not in its published result."""

    name: str
    reason: str
    target: str = ""

    def __str__(self) -> str:
        arrow = f" → {_short(self.target)}" if self.target else ""
        return f"{_short(self.name)}{arrow} ({self.reason})"


@dataclass(frozen=True)
class Item:
    """One entry of what is published.

    Attributes
    ----------
    name
        Relative to the results; ``""`` is their root.
    target
        What a link says in the published result: relative, and inside.
    path
        Where its contents lie on this host.
    ours
        Whether the job wrote it (and the node owns it), or it is an input.
    """

    name: str
    kind: EntryKind
    info: os.stat_result
    target: str = ""
    path: Parts = ()
    ours: bool = True

    def open(self) -> int:
        """Open a file; at any time, from any thread.

        Raises
        ------
        OSError
            It can't be opened.
        """
        return open_file(self.path, ours=self.ours)


class Gathering:
    """Walks a result directory for a publisher. Blocking; for one thread, but for `leave_out`.

    Parameters
    ----------
    strict
        Whether a link that leads outside, or what can't be read, is an error, and links that lead nowhere are kept.
    links
        Whether the place can hold links: if not, the file that a link means is published in its stead.
    max_name
        Bytes that a name may have there.
    left_out
        Gets what is left out; emptied when a walk begins.
    """

    def __init__(
        self,
        root: Path,
        view: JobView,
        *,
        component: str,
        strict: bool = False,
        links: bool = True,
        max_name: int = MAX_NAME,
        left_out: list[LeftOut] | None = None,
    ) -> None:
        self.root = root
        self.left_out: list[LeftOut] = [] if left_out is None else left_out
        self._view = view
        self._component = component
        self._strict = strict
        self._links = links
        self._max_name = max_name
        self._published: dict[tuple[int, int], str] = {}
        self._waiting: deque[tuple[str, ResolvedPath]] = deque()
        self._latest: tuple[Item, int, str] | None = None

    def __iter__(self) -> Iterator[Item]:
        """Yield every entry, parents first."""
        self.left_out.clear()
        self._published.clear()
        self._waiting.clear()
        yield from self._tree("", ResolvedPath(Where.RESULT, self._view.root, self._view.root))
        # Directories of inputs that links mean, one after the other: a link in one may mean another one.
        while self._waiting:
            name, place = self._waiting.popleft()
            if place.info is not None and (items := self._published_before(name, place.info)) is not None:
                yield from items
            else:
                yield from self._tree(name, place)

    def open(self, item: Item) -> int | None:
        """Open the file that the walk has just yielded; None when it can't be read and is left out.

        Raises
        ------
        IOFailure
            It can't be read, and the walk is strict.
        OSError
            This process has no room for another file.
        """
        try:
            if self._latest is not None and self._latest[0] is item:
                return open_entry(self._latest[2], self._latest[1], ours=item.ours)
            return item.open()
        except OSError as error:
            self.unreadable(item.name, error)
            return None

    def unreadable(self, name: str, error: OSError) -> None:
        """Leave out what can't be read."""
        if error.errno in _OURS_TO_SOLVE:
            raise error
        if self._strict:
            raise io_failure(error, "read", self.root / name, self._component) from error
        reason = error.strerror or str(error)
        self.leave_out(name, f"it can't be read: {reason[:1].lower()}{reason[1:]}")

    def leave_out(self, name: str, reason: str, target: str = "") -> None:
        """Note that something is not published."""
        if len(self.left_out) < MOST_LEFT_OUT:
            self.left_out.append(LeftOut(name, reason, target))

    def _tree(self, prefix: str, top: ResolvedPath) -> Iterator[Item]:
        ours = top.where is Where.RESULT
        skipped = ""

        def failed(path: str, error: OSError) -> None:
            self.unreadable(_joined(prefix, path), error)

        try:
            directory = open_directory(top.path, ours=ours)
        except OSError as error:
            self.unreadable(prefix, error)
            return
        try:
            for entry in walk(_opened(directory, top.path), failed, deepest=MAX_DEPTH):
                inside = tuple(part for part in entry.path.split("/") if part)
                place = ResolvedPath(top.where, (*top.path, *inside), (*top.at, *inside), info=entry.info)
                name = _joined(prefix, entry.path)
                if skipped and name.startswith(skipped):
                    continue
                if (
                    not ours
                    and entry.path
                    and (items := self._published_before(name, entry.info)) is not None
                ):
                    skipped = f"{name}/"
                    yield from items
                    continue
                if len(name.encode("utf-8", "surrogateescape")) > self._max_name:
                    self._too_long(name)
                    continue
                item = self._item(name, place, entry.directory, entry.name)
                if item is None:
                    continue
                own = item.kind is EntryKind.FILE and item.path == place.path
                self._latest = (item, entry.directory, entry.name) if own else None
                yield item
        except OSError as error:
            # An input may be changed by another job while it is read.
            if error.errno != errno.ESTALE:
                raise
            self.unreadable(prefix, error)
        finally:
            self._latest = None
            os.close(directory)

    def _item(self, name: str, place: ResolvedPath, directory: int, entry: str) -> Item | None:
        info, ours = place.info, place.where is Where.RESULT
        assert info is not None
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFLNK:
            return self._link(name, place, os.readlink(entry, dir_fd=directory))
        if kind == stat.S_IFDIR:
            if ours and info.st_mode & 0o500 != 0o500:
                make_readable(entry, directory)
            return Item(name, EntryKind.DIRECTORY, info, path=place.path, ours=ours)
        if kind == stat.S_IFREG:
            return Item(name, EntryKind.FILE, info, path=place.path, ours=ours)
        self.leave_out(name, _KINDS.get(kind, "neither a file, a directory nor a link"))
        return None

    def _link(self, name: str, place: ResolvedPath, target: str) -> Item | None:
        """Decide what becomes of a link."""
        here = posixpath.dirname(name)
        directory = self._view.seen_at(here) if place.where is Where.RESULT else place.at[:-1]
        resolved = self._view.resolve(directory, target)
        info = resolved.info
        if resolved.where is Where.RESULT and info is not None and place.info is not None:
            if self._links:
                meant = self._view.resolve(directory, target, follow=False)
                # The last name is kept where it is a link among the results: that one is published, too.
                kept = meant.name if meant.where is Where.RESULT else resolved.name
                return Item(name, EntryKind.LINK, place.info, self._said(here, target, kept))
            return self._content(name, target, resolved)
        if resolved.where is Where.INPUT and info is not None and not self._strict:
            return self._input(name, target, resolved)
        if resolved.where is Where.MISSING:
            if self._strict and is_plain_link(here, target) and place.info is not None:
                return Item(name, EntryKind.LINK, place.info, target)
            reason = "a link that leads nowhere"
        else:
            reason = "a link out of the results"
        if self._strict:
            raise IOFailure(
                f"the link {shown(name)} points outside of the directory, to {shown(target)}",
                hint="copy the file there instead, or make the link relative to a file beside it",
                component=self._component,
            )
        self.leave_out(name, reason, target)
        return None

    def _content(self, name: str, target: str, resolved: ResolvedPath) -> Item | None:
        """Return the file that a link means, under the link's name."""
        assert resolved.info is not None
        if stat.S_ISREG(resolved.info.st_mode):
            ours = resolved.where is Where.RESULT
            return Item(name, EntryKind.FILE, resolved.info, path=resolved.path, ours=ours)
        kind = "a directory" if stat.S_ISDIR(resolved.info.st_mode) else "no file"
        self.leave_out(name, f"a link to {kind}, which can't be published here", target)
        return None

    def _input(self, name: str, target: str, resolved: ResolvedPath) -> Item | None:
        """Return the input that a link means: a copy of it, or a link to the copy that is published already."""
        assert resolved.info is not None
        kind = stat.S_IFMT(resolved.info.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            self.leave_out(name, "a link to something that is neither a file nor a directory", target)
            return None
        if kind == stat.S_IFDIR:
            # Its own walk yields it, and finds out whether it is published already.
            self._waiting.append((name, resolved))
            return None
        items = self._published_before(name, resolved.info)
        return items[0] if items else self._content(name, target, resolved)

    def _published_before(self, name: str, info: os.stat_result) -> list[Item] | None:
        """Return a link to where this part of an input is published already; remember it where it is not (None).

        So an input is published once at most, however many links mean it, and links in a circle come to an end. Where
        there can be no links, files are published again, and directories left out.
        """
        if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
            return None
        first = self._published.setdefault((info.st_dev, info.st_ino), name)
        if first == name:
            return None
        if self._links:
            target = posixpath.relpath(first or ".", posixpath.dirname(name) or ".")
            return [Item(name, EntryKind.LINK, info, target)]
        if stat.S_ISREG(info.st_mode):
            return None
        self.leave_out(name, f"it is published already, as {_short(first)}")
        return []

    def _said(self, here: str, target: str, meant: str) -> str:
        if is_plain_link(here, target) and posixpath.normpath(posixpath.join(here, target)) == (meant or "."):
            return target
        return posixpath.relpath(meant or ".", here or ".")

    def _too_long(self, name: str) -> None:
        if self._strict:
            raise IOFailure(f"the name {_short(name)} is too long", component=self._component)
        self.leave_out(name, f"its name is longer than {self._max_name} bytes")


def _opened(directory: int, path: Parts) -> str:
    """Return a path to a directory that is open: by its descriptor, because the way there may be changed meanwhile."""
    # Systems without it run no jobs that could do so.
    return f"/proc/self/fd/{directory}/." if _FDS.is_dir() else "/" + "/".join(path)


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}/{path}" if prefix and path else prefix or path


def _short(name: str) -> str:
    text = shown(name)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"

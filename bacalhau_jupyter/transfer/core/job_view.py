"""A job's view of files: its results and inputs at their paths, and where its links lead among them.

Links are followed here, name by name, never by the kernel: what is mounted where the job was is another tree than
this host's, and inputs may be written by other jobs meanwhile. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import enum
import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_LINKS = 40
_PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Parts = tuple[str, ...]


class Where(enum.Enum):
    """Where a path of the job's leads."""

    RESULT = "result"
    INPUT = "input"
    MISSING = "missing"
    OUTSIDE = "outside"


@dataclass(frozen=True)
class _Mount:
    """A directory (or file) of this host and where the job saw it; ``name``: its name among the results."""

    at: Parts
    source: Parts
    name: str | None = None


@dataclass(frozen=True)
class ResolvedPath:
    """What a path of the job's means.

    Attributes
    ----------
    path
        Its names on this host, from ``/``; none of them is a link, as far as it was followed.
    at
        Its names as the job saw it.
    name
        Its name among the results; ``""`` for all of them, and for what is not among them.
    info
        Its own state; None where nothing is there.
    """

    where: Where
    path: Parts = ()
    at: Parts = ()
    name: str = ""
    info: os.stat_result | None = None


class JobView:
    """Results and inputs as one job saw them.

    Parameters
    ----------
    root
        The result directory.
    results
        Absolute paths as the job saw them and the names they have below ``root``.
    inputs
        Absolute paths as the job saw them and where they are here. Real paths: links in them are not followed.
    prefixes
        Further directories of the job's below which it saw results and inputs at the same paths.
    """

    def __init__(
        self,
        root: Path,
        results: Mapping[str, str],
        inputs: Mapping[str, Path] | None = None,
        prefixes: Sequence[str] = (),
    ) -> None:
        real = os.path.realpath(root)
        self.root = parts_of(real)
        mounts = [_Mount(self.root, self.root, "")]
        for place, name in results.items():
            source = (*self.root, *parts_of(name))
            mounts += [_Mount(parts_of(prefix + place), source, name) for prefix in ("", *prefixes)]
        for place, path in (inputs or {}).items():
            source = parts_of(_real_below(path, root.parent, real))
            mounts.append(_Mount(source, source))
            mounts += [_Mount(parts_of(prefix + place), source) for prefix in ("", *prefixes)]
        self._mounts = sorted(mounts, key=lambda mount: len(mount.at), reverse=True)

    def seen_at(self, name: str) -> Parts:
        """Return where the job saw what has this name among the results."""
        parts = parts_of(name)
        best = self._mounts[-1]
        depth = -1
        for mount in self._mounts:
            own = None if mount.name is None else parts_of(mount.name)
            # The shortest path comes last, and wins: the others are further paths of the same directory.
            if own is not None and parts[: len(own)] == own and len(own) >= depth:
                best, depth = mount, len(own)
        return (*best.at, *parts[max(0, depth) :])

    def resolve(self, directory: Parts, target: str, *, follow: bool = True) -> ResolvedPath:
        """Return where a link leads.

        Parameters
        ----------
        directory
            Where the job saw the directory that the link is in.
        follow
            Whether the last name is followed, too, if it is a link itself.
        """
        here: Parts = () if target.startswith("/") else directory
        left = deque(_names(target))
        links = 0
        place = self._at(here)
        while left:
            part = left.popleft()
            if part == "..":
                here = here[:-1]
                place = self._at(here)
                continue
            here = (*here, part)
            place = self._at(here)
            is_link = place.info is not None and stat.S_ISLNK(place.info.st_mode)
            if is_link and (left or follow):
                links += 1
                text = self._text(place) if links <= _MAX_LINKS else None
                if text is None:
                    return ResolvedPath(Where.MISSING, at=here)
                here = () if text.startswith("/") else here[:-1]
                left.extendleft(reversed(_names(text)))
                place = self._at(here)
            elif place.where is Where.MISSING and left:
                return place
        return place

    def _at(self, at: Parts) -> ResolvedPath:
        mount = next((each for each in self._mounts if at[: len(each.at)] == each.at), None)
        if mount is None:
            # A directory above what was mounted: nothing of it is ours, but the way leads through it.
            return ResolvedPath(Where.OUTSIDE, at=at)
        rest = at[len(mount.at) :]
        path = (*mount.source, *rest)
        where = Where.INPUT if mount.name is None else Where.RESULT
        name = "" if mount.name is None else "/".join((*parts_of(mount.name), *rest))
        try:
            with _opened(path[:-1], mend=where is Where.RESULT) as directory:
                info = os.stat(path[-1] if path else ".", dir_fd=directory, follow_symlinks=False)
        except (OSError, ValueError):
            return ResolvedPath(Where.MISSING, path, at, name)
        return ResolvedPath(where, path, at, name, info)

    def _text(self, place: ResolvedPath) -> str | None:
        try:
            with _opened(place.path[:-1], mend=False) as directory:
                return os.readlink(place.path[-1], dir_fd=directory)
        except OSError:
            return None


def parts_of(path: str) -> Parts:
    """Split a path into its names, without empty ones and dots."""
    return tuple(part for part in os.path.normpath(path).split("/") if part not in ("", "."))


def open_file(path: Parts, *, ours: bool) -> int:
    """Open a file of this host for reading, through no link; return its descriptor.

    Parameters
    ----------
    ours
        Whether a file that its owner, this user, may not read is made readable.

    Raises
    ------
    OSError
        It can't be opened.
    """
    with _opened(path[:-1], mend=ours) as directory:
        return open_entry(path[-1], directory, ours=ours)


def open_entry(name: str, directory: int, *, ours: bool) -> int:
    """Do what `open_file` does with a name in an open directory."""
    try:
        return os.open(name, _FILE, dir_fd=directory)
    except PermissionError:
        if not ours or not make_readable(name, directory):
            raise
        return os.open(name, _FILE, dir_fd=directory)


def make_readable(name: str, directory: int) -> bool:
    """Let this user read (and enter) a file or directory that it owns; False when it can't be done."""
    try:
        # By way of a descriptor: a change of mode would follow a link.
        descriptor = os.open(name, _PLACE, dir_fd=directory)
    except OSError:
        return False
    try:
        info = os.fstat(descriptor)
        mode_bits = 0o700 if stat.S_ISDIR(info.st_mode) else 0o600
        if stat.S_ISLNK(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & mode_bits == mode_bits:
            return False
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IMODE(info.st_mode) | mode_bits)  # noqa: PTH101
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _opened(path: Parts, *, mend: bool) -> Iterator[int]:
    descriptor = open_directory(path, ours=mend)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_directory(path: Parts, *, ours: bool) -> int:
    """Open a directory of this host, through no link, as a place for other calls (it may not be listed).

    Raises
    ------
    OSError
        It can't be reached, or a name on the way is a link.
    """
    descriptor = os.open("/", _PLACE | os.O_DIRECTORY)
    try:
        for name in path:
            try:
                inner = os.open(name, _PLACE | os.O_DIRECTORY, dir_fd=descriptor)
            except PermissionError:
                # The directory that was just opened is the one that may not be entered.
                if not ours or not _make_enterable(descriptor):
                    raise
                inner = os.open(name, _PLACE | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_enterable(directory: int) -> bool:
    info = os.fstat(directory)
    if info.st_uid != os.geteuid():
        return False
    try:
        os.chmod(f"/proc/self/fd/{directory}", stat.S_IMODE(info.st_mode) | 0o700)  # noqa: PTH101
    except OSError:
        return False
    return True


def _names(target: str) -> list[str]:
    return [part for part in target.split("/") if part not in ("", ".")]


def _real_below(path: Path, own: Path, real_root: str) -> str:
    """Return a path of ours as a real one; the way to our own directory may hold links, other ways may not."""
    with contextlib.suppress(ValueError):
        return os.path.join(os.path.dirname(real_root), path.relative_to(own))  # noqa: PTH118, PTH120
    return os.fspath(path)

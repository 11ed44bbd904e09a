"""The built-up view: which paths of this host a job reads, and nothing else.

Both tiers start from nothing and add. Where a secret lies inside a directory that is shown, bubblewrap covers it and
Landlock, which knows no exceptions, is given the directory's other entries instead.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.engines.process.environments.sockets import listening_below
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
class View:
    """What of this host a job reads.

    Attributes
    ----------
    shown
        Paths that are shown, where they are called.
    hidden
        Real paths that stay hidden.
    left_out
        Requested import paths that are not shown.
    pins
        For each shown path that is shown by its descriptor, what it must be.
    sockets
        Real paths of sockets inside what is shown, as far as they are known.
    programs
        Directories that come first in the job's ``PATH``.
    """

    shown: tuple[Path, ...]
    hidden: tuple[Path, ...]
    left_out: tuple[str, ...] = ()
    pins: Mapping[Path, Pin] = field(default_factory=dict)
    sockets: tuple[Path, ...] = ()
    programs: tuple[str, ...] = ()

    def outermost(self) -> list[Path]:
        """Return the shown paths without those that lie inside another one, shortest first."""
        kept: dict[str, Path] = {}
        for path in sorted(set(self.shown), key=lambda each: (str(each).count("/"), str(each))):
            if not any(above in kept for above in _above(str(path))):
                kept[str(path)] = path
        return list(kept.values())

    def pinned(self) -> list[tuple[Path, Pin]]:
        """Return the outermost paths that are shown by their descriptor."""
        return [(path, self.pins[path]) for path in self.outermost() if path in self.pins]

    def covers(self) -> list[tuple[Path, Path]]:
        """Return what has to be covered: where the job would see it, and where it really lies.

        What is shown under two names is covered under both, and so is each socket with a listener.
        """
        roots = {
            shown: self.pins[shown].real if shown in self.pins else os.path.realpath(shown)
            for shown in self.outermost()
        }
        listening = (Path(path) for path in listening_below(set(roots.values())))
        secrets = (*self.hidden, *self.sockets, *listening)
        covered = [
            (shown / secret.relative_to(root), secret)
            for shown, root in roots.items()
            for secret in secrets
            if str(secret) == root or root in _above(str(secret))
        ]
        return [(place, secret) for place, secret in dict.fromkeys(covered) if secret.exists()]

    def covered(self) -> list[Path]:
        """Return the hidden paths that exist inside a shown one."""
        roots = {os.path.realpath(path) for path in self.shown}
        return [
            hidden
            for hidden in self.hidden
            if (str(hidden) in roots or any(above in roots for above in _above(str(hidden))))
            and hidden.exists()
        ]

    def without_hidden(self) -> list[Path]:
        """Return shown paths, taken apart so that no hidden one is below any of them."""
        covered = self.covered()
        return [part for path in self.outermost() for part in _take_apart(path, covered)]


def _above(path: str) -> Iterator[str]:
    """Yield the directories above an absolute path, the nearest first."""
    while len(path) > 1:
        path = path.rpartition("/")[0] or "/"
        yield path


def _take_apart(path: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    if not hidden:
        yield path
        return
    resolved = path.resolve()
    inside = [each for each in hidden if each == resolved or resolved in each.parents]
    if not inside:
        yield path
    elif resolved not in inside:
        for entry in entries(path):
            if not entry.is_symlink():
                yield from _take_apart(entry, inside)


def entries(directory: Path) -> list[Path]:
    """List a directory that has to be shown entry by entry.

    Raises
    ------
    TooManyEntries
        There are more than `MAX_ENTRIES`.
    """
    with os.scandir(directory) as iterator:
        names = [entry.name for _, entry in zip(range(MAX_ENTRIES + 1), iterator, strict=False)]
    if len(names) > MAX_ENTRIES:
        raise TooManyEntries(f"{directory} has more than {MAX_ENTRIES} entries")
    return [directory / name for name in sorted(names)]


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

"""The built-up view: which paths of this host a job reads, and nothing else.

Both tiers start from nothing and add. Where a secret lies inside a directory that is shown, bubblewrap covers it and
Landlock, which knows no exceptions, is given the directory's other entries instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.engines.supervised.mounts import MAX_ENTRIES, Pin, TooManyEntries
from bacalhau_jupyter.engines.supervised.sockets import listening_below


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

"""What bubblewrap shows of this host: binds, copies of small files, and covers over what is private inside them.

For each bind bubblewrap reads the table of all mounts, so the two dozen small files of ``/etc`` are copied instead.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bacalhau_jupyter.engines.process.tiers import accounts
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised import host

FIRST_COPIED = 5
"""The child's first descriptor of a file that is copied: after the options and the filter."""
MAX_COPIED = 256 * 1024
"""Bytes of the largest file that is copied; larger ones are bound."""
_ETC = Path("/etc")


def copied(view: View) -> list[Path]:
    """Return the files of a job's view that it gets copies of: only the system's own, which no user can exchange."""
    system = [path for path in host.system_paths() if _ETC in path.parents]
    return [path for path in _outermost(view) if path in system and path not in view.pins and _is_small(path)]


def _outermost(view: View) -> list[Path]:
    return [path for path in view.outermost() if str(path) not in (accounts.PASSWD, accounts.GROUP)]


def _is_small(path: Path) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False
    small = stat.S_ISREG(info.st_mode) and info.st_size <= MAX_COPIED and info.st_mode & 0o444 == 0o444
    return small and os.access(path, os.R_OK)


def copies(files: list[tuple[Path, str]]) -> list[str]:
    """Return bubblewrap's options for files that are copied, given where each appears."""
    return [
        option
        for index, (_, place) in enumerate(files)
        for option in ("--perms", "0444", "--file", str(FIRST_COPIED + index), place)
    ]


def bound(files: list[tuple[Path, str]]) -> list[str]:
    """Return bubblewrap's options for files that are bound, given where each appears."""
    return [option for path, place in files for option in ("--ro-bind", str(path), place)]


def options(view: View, first_pinned: int, left_to_copies: set[Path]) -> list[str]:
    """Return bubblewrap's options for what a job reads of this host.

    Parameters
    ----------
    view
        What it reads.
    first_pinned
        The child's first descriptor of something shown.
    left_to_copies
        Files of it that are copied.
    """
    shown = _outermost(view)
    # Spelled out, because bubblewrap makes a file's missing parents for its own user only.
    parents = {parent for path in shown for parent in path.parents if parent != Path("/")}
    arguments = [
        option
        for parent in sorted(parents)
        if not any(root == parent or root in parent.parents for root in shown)
        for option in ("--dir", str(parent))
    ]
    pinned = {path: first_pinned + index for index, (path, _) in enumerate(view.pinned())}
    for path in shown:
        if path in left_to_copies:
            continue
        if path in pinned:
            arguments += ["--ro-bind-fd", str(pinned[path]), str(path)]
        elif path.is_symlink() and str(path) in host.SYSTEM_LINKS:
            arguments += ["--symlink", str(path.readlink()), str(path)]
        else:
            arguments += ["--ro-bind", str(path.resolve()), str(path)]
    return arguments


def covers(view: View) -> list[str]:
    """Return bubblewrap's options that cover what is private in what a job reads of this host."""
    arguments: list[str] = []
    for place, hidden in view.covers():
        if hidden.is_dir():
            arguments += ["--perms", "0000", "--tmpfs", str(place), "--remount-ro", str(place)]
        else:
            arguments += ["--ro-bind", "/dev/null", str(place)]
    return arguments

"""Which names an archive may hold, and with which modes: the same rules for unpacking and reading by index."""

from __future__ import annotations

import os

from bacalhau_jupyter.lib.trees import MAX_DEPTH
from bacalhau_jupyter.models.errors import IOFailure

COMPONENT = "Archive"

_MAX_PATH = 4096


def refused(reason: str) -> IOFailure:
    """Return the error for an archive that breaks a rule."""
    return IOFailure(
        f"the archive is refused: {reason}",
        hint="nothing of it was kept; make it again with relative names only, such as `tar czf x.tar.gz -C DIR .`",
    )


def safe_name(name: str) -> str:
    """Return a member's name without ``./`` and double slashes; ``""`` is the root.

    Raises
    ------
    IOFailure
        It is absolute, or climbs, or no file can have it.
    """
    if name.startswith("/") or "\0" in name or (os.name == "nt" and ("\\" in name or ":" in name)):
        raise refused(f"{name!r} is not a relative path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > MAX_DEPTH:
        raise refused(f"{name[:40]!r}… lies {len(parts) - 1} directories deep; {MAX_DEPTH} are the most")
    if len(name) > _MAX_PATH:
        raise refused(f"{name[:40]!r}… is a name of {len(name)} characters; {_MAX_PATH} are the most")
    if ".." in parts:
        raise refused(f"{name!r} leads outside")
    return "/".join(parts)


def sane_mode(mode: int, *, directory: bool, readable: bool = False) -> int:
    """Return permissions to write with: no set-uid, ours to write, others never; all may read if asked for."""
    mode = mode & 0o755 | (0o700 if directory else 0o600)
    if readable:
        mode |= 0o055 if directory else 0o044 | (mode & 0o100) >> 3 | (mode & 0o100) >> 6
    return mode

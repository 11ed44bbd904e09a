"""Scratch directories for results, removed with their owner, or by the next process when that was killed."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree

_PREFIX = "bacalhau-result-"


def scratch_directory(owner: object | None = None) -> Path:
    """Create a private directory; what killed processes of ours left behind is removed on the way.

    Parameters
    ----------
    owner
        The directory goes when this object goes.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and old.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
                remove_tree(old)
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    if owner is not None:
        weakref.finalize(owner, _remove, directory, os.getpid())
    return directory


def _remove(directory: Path, owner: int) -> None:
    """Remove a directory; a forked child leaves its parent's alone."""
    if os.getpid() == owner:
        remove_tree(directory)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

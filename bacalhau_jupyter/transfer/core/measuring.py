"""The size of a directory, so that progress has a total."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.transfer.core.files import check_interrupted


def measure(directory: Path, stop: threading.Event | None = None) -> tuple[int, int]:
    """Return the bytes and the number of the regular files below a directory. Blocking.

    Only an estimate for progress: unreadable entries are left out here and named by the later read. Links are not
    followed.

    Raises
    ------
    Interrupted
        ``stop`` was set.
    """
    size = files = 0
    for entry in walk(directory, lambda _path, _error: None):
        check_interrupted(stop)
        if stat.S_ISREG(entry.info.st_mode):
            size += entry.info.st_size
            files += 1
    return size, files

"""How much a directory holds, so that progress can say of how much."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from bacalhau_jupyter.transfer.files import check_interrupted


def measure(directory: Path, stop: threading.Event | None = None) -> tuple[int, int]:
    """Return the bytes and the number of the regular files below a directory. Blocking.

    Only an estimate for progress: what can't be looked at is left out, and whoever reads it names it. Links are not
    followed.

    Raises
    ------
    Interrupted
        ``stop`` was set.
    """
    size = files = 0
    pending = [os.fspath(directory)]
    while pending:
        check_interrupted(stop)
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode):
                        pending.append(entry.path)
                    elif stat.S_ISREG(info.st_mode):
                        size += info.st_size
                        files += 1
        except OSError:
            continue
    return size, files

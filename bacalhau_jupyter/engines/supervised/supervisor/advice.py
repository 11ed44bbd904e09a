"""One sentence for what a tier can't give, when a program failed for want of it."""

from __future__ import annotations

TAIL = 8192
"""Bytes of a program's last error output that are looked at."""

_REFUSED = (b"PermissionError", b"AccessDenied", b"Operation not permitted", b"Permission denied")
_WANTED = (
    b"multiprocessing/synchronize.py",
    b"multiprocessing/shared_memory.py",
    b"multiprocessing/managers.py",
    b"multiprocessing/connection.py",
    b"multiprocessing/forkserver.py",
    b"concurrent/futures/process.py",
    b"SemLock",
    b"AF_UNIX",
    b"/pty.py",
    b"openpty",
    b"'/proc/self",
    b"psutil.AccessDenied",
)


def helps(printed: bytes) -> bool:
    """Whether a program's last error output shows that it was refused shared memory, a socket or a terminal."""
    return any(text in printed for text in _REFUSED) and any(text in printed for text in _WANTED)

"""The process tree below the supervisor, found in ``/proc`` and ended without exception.

The supervisor is a subreaper: whatever a job forks, detaches or orphans stays below it, so "no child left"
(``waitpid`` says ECHILD) proves that nothing is left at all.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

_FREEZE_ROUNDS = 20
"""How often the tree is looked at again while it still grows; a fork bomb is frozen within two or three."""


def start_time(pid: int) -> str:
    """Return when the kernel started ``pid`` (clock ticks since boot), or "" for none or a dead one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def pidfd_of(pid: int) -> int:
    """Return a descriptor that refers to a process for good.

    Raises
    ------
    ProcessLookupError
        There is none.
    OSError
        The kernel has no such descriptors.
    """
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def send(pid: int, pidfd: int, number: int) -> None:
    """Send a signal to a process, by the descriptor that refers to it or (-1) by its number.

    Raises
    ------
    ProcessLookupError
        There is none.
    """
    if sys.platform == "linux" and pidfd >= 0:
        import signal

        signal.pidfd_send_signal(pidfd, number)
    else:
        os.kill(pid, number)


def descendants(root: int) -> list[int]:
    """Return the pids below ``root``, parents first; zombies are left out."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(name))
    pids: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(0), [])
        pids += below
        queue += below
    return pids


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each; ignore those that have gone meanwhile."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def listens(pid: int, number: int) -> bool:
    """Whether a process has an answer to a signal: a handler, or its own way to wait for it.

    The first process of a job gets no signal that it has no answer to, and it may still be on its way there.
    """
    if number in (_signal.SIGKILL, _signal.SIGSTOP):
        return True
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            lines = [line.split() for line in file if line.startswith((b"SigCgt:", b"SigBlk:"))]
    except OSError:
        return False
    return any(int(line[1], 16) >> (number - 1) & 1 for line in lines)


def kill_below(root: int) -> None:
    """Freeze the tree below ``root`` until it no longer grows, then kill it."""
    frozen: set[int] = set()
    for _ in range(_FREEZE_ROUNDS):
        fresh = [pid for pid in descendants(root) if pid not in frozen]
        if not fresh:
            break
        signal_all(fresh, _signal.SIGSTOP)
        frozen.update(fresh)
    signal_all(descendants(root), _signal.SIGKILL)

"""Which process holds the other end of a connection, and whether it runs in the node's own context.

The owner's uid alone does not separate the user from what the user's jobs may do: a host-network container's
root has uid 0 too, a sidecar in the same pod shares the uid, a networked ``process`` job runs as the user. So
the socket must also be held by a process that we can see, that lives in our own user and mount namespaces, is
confined no more than we are, and was started neither by one of our executions nor by the node itself. What can't be
shown is not trusted.

The node is not its own owner, nor are its helpers: it connects to what jobs name, so a call that comes from here was
caused by a job. Nothing of ours calls the node from inside it.

Finding the holder means reading ``/proc/<pid>/fd``. Callers that proved themselves are looked at first, then
the newest processes (a command that was just started), so that the usual cost is a few dozen ``readlink``
calls once per connection; only a stranger makes us walk through every process of our uid.
"""

# ruff: noqa: PTH115, PTH116, PTH123, PTH208
# Plain strings and os calls: a walk makes thousands of them, and Path objects would triple its cost.
from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_RECENT_LIMIT = 32
_ANCESTORS_LIMIT = 64
EXECUTION_MARKER = b"bacalhau_jupyter.engines"
"""In the command line of every process of ours that looks after an execution."""


@dataclass(frozen=True)
class Standing:
    """Where a process lives and how confined it is."""

    user_namespace: tuple[int, int]
    mount_namespace: tuple[int, int]
    no_new_privileges: bool
    seccomp_filters: int
    parent: int


class ProcessTable:
    """Finds and judges the holder of a socket.

    Parameters
    ----------
    uid
        Our user; processes of others are not looked at.
    proc
        Where the process file system is mounted.
    pid
        The node's process, which never calls itself; this one by default.
    """

    def __init__(self, uid: int, proc: Path = Path("/proc"), pid: int | None = None) -> None:
        self._uid = uid
        self._pid = os.getpid() if pid is None else pid
        self._proc = str(proc)
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._ours = self._standing(os.getpid()) if sys.platform == "linux" else None

    def holds_as_equal(self, inode: int, *, quick: bool = False) -> bool:
        """Whether a process of ours that stands where we stand holds socket ``inode``.

        With ``quick`` only processes that held such a socket lately are looked at (safe on an event loop: some
        ten microseconds each); otherwise every process of our uid may be read: call it in a thread.
        """
        if self._ours is None:
            return False
        socket_link = f"socket:[{inode}]"
        for pid in list(self._recent) if quick else self._candidates():
            if self._holds(pid, socket_link) and self._is_equal(pid):
                self._recent[pid] = None
                self._recent.move_to_end(pid, last=False)
                while len(self._recent) > _RECENT_LIMIT:
                    self._recent.popitem()
                return True
        return False

    def _candidates(self) -> Iterator[int]:
        recent = list(self._recent)
        yield from recent
        try:
            pids = sorted((int(name) for name in os.listdir(self._proc) if name.isdigit()), reverse=True)
        except OSError:
            return
        recent_pids = set(recent)
        yield from (pid for pid in pids if pid not in recent_pids)

    def _holds(self, pid: int, link: str) -> bool:
        try:
            if os.stat(f"{self._proc}/{pid}").st_uid != self._uid:
                return False
            directory = f"{self._proc}/{pid}/fd"
            # Descriptors are numbered upwards, a fresh socket is near the end.
            return any(_link(f"{directory}/{name}") == link for name in reversed(os.listdir(directory)))
        except OSError:
            self._recent.pop(pid, None)
            return False

    def _is_equal(self, pid: int) -> bool:
        ours, theirs = self._ours, self._standing(pid)
        if ours is None or theirs is None:
            return False
        return (
            theirs.user_namespace == ours.user_namespace
            and theirs.mount_namespace == ours.mount_namespace
            and theirs.no_new_privileges <= ours.no_new_privileges
            and theirs.seccomp_filters <= ours.seccomp_filters
            and not self._is_ours_or_an_executions(pid)
        )

    def _standing(self, pid: int) -> Standing | None:
        base = f"{self._proc}/{pid}"
        try:
            user, mount = os.stat(f"{base}/ns/user"), os.stat(f"{base}/ns/mnt")
            fields = dict(line.split(":", 1) for line in _read(f"{base}/status").decode().splitlines())
            return Standing(
                user_namespace=(user.st_dev, user.st_ino),
                mount_namespace=(mount.st_dev, mount.st_ino),
                no_new_privileges=fields.get("NoNewPrivs", "0").strip() != "0",
                # Kernels before 5.9 tell the mode only (2 = filtered); that still tells a sandbox from us.
                seccomp_filters=int(fields.get("Seccomp_filters", fields.get("Seccomp", "0"))),
                parent=int(fields["PPid"]),
            )
        except (OSError, ValueError, KeyError):
            return None

    def _is_ours_or_an_executions(self, pid: int) -> bool:
        """Whether the process is this one, or was started by this one or by what looks after an execution.

        The supervisor of an execution adopts its orphans, so a process can't escape.
        """
        for _ in range(_ANCESTORS_LIMIT):
            if pid == self._pid:
                return True
            if pid in (0, 1):
                return False
            try:
                if EXECUTION_MARKER in _read(f"{self._proc}/{pid}/cmdline"):
                    return True
                pid = int(_read(f"{self._proc}/{pid}/stat").rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                return True
        return True


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()

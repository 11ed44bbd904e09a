"""How much of the disk a job takes, looked at while it runs: no event of the kernel tells.

Another process looks, so that output and times don't wait for a tree of a hundred thousand files.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import time

from bacalhau_jupyter.lib.trees import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` itself imports enum: five milliseconds

STEP_S = 0.5
"""Seconds between two looks at least."""
SHARE = 20
"""Looking takes at most one part of so many of the time."""

_BLOCK = 512
_NEW_USER = 0x10000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """What one job takes.

    Parameters
    ----------
    limit
        Bytes that it may take.
    places
        Directories that it writes to; what is in them now does not count.
    plain
        Whether only what every Unix has is used.

    Attributes
    ----------
    report
        A descriptor that can be read from when a look is over.
    looker
        The process that looks; -1 for none.
    """

    def __init__(self, limit: int, places: list[str], *, plain: bool = False) -> None:
        self.limit = limit
        self._plain = plain
        self._places = places
        self._before = taken(places)
        self.report, self._report_end = os.pipe()
        os.set_blocking(self.report, False)
        self.looker = -1
        self._began = 0.0
        self._next_at = time.monotonic() + STEP_S

    @property
    def look_at(self) -> float:
        """When to look next, by the monotonic clock; 0 while somebody looks."""
        return 0.0 if self.looker >= 0 else self._next_at

    def look(self, job: list[int]) -> None:
        """Start a look; `heard` tells its result once ``report`` can be read from.

        Where no process can be made now, because others take all that this user may have, the next look is tried later.

        Parameters
        ----------
        job
            The job's processes.
        """
        self._began = time.monotonic()
        try:
            self.looker = os.fork()
        except OSError:
            self.ended()
            return
        if self.looker == 0:
            self._look(job)

    def _look(self, job: list[int]) -> None:
        """Look, and end; never returns."""
        try:
            _signal.set_wakeup_fd(-1)
            for each in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGCHLD):
                _signal.signal(each, _signal.SIG_DFL)
            total = 0
            if not self._plain:
                _libc.prctl(_PR_SET_PDEATHSIG, int(_signal.SIGKILL), 0, 0, 0)
                total = removed_but_open(job)
                _see_all()
            total += taken(self._places, self.limit + self._before - total)
            os.write(self._report_end, b"%d\n" % max(0, total - self._before))
        finally:
            os._exit(0)

    def ended(self) -> None:
        """Note that the process that looked has ended."""
        now = time.monotonic()
        self.looker = -1
        self._next_at = now + max(STEP_S, SHARE * (now - self._began))

    def heard(self) -> int:
        """Return what the latest look has found, in bytes; stops counting above the limit."""
        try:
            said = os.read(self.report, 4096).split()
        except BlockingIOError:
            return 0
        return int(said[-1]) if said else 0

    def last_look(self) -> int:
        """Look once more, now that nothing of the job runs, and return what it has taken. Blocks."""
        self.heard()
        self.look([])
        if self.looker < 0:
            return max(0, taken(self._places, self.limit + self._before) - self._before)
        os.waitpid(self.looker, 0)
        return self.heard()


def taken(places: list[str], enough: int = sys.maxsize) -> int:
    """Return the bytes that directories take on the disk; a file with several names counts once.

    Parameters
    ----------
    places
        Their paths; one that does not exist takes nothing.
    enough
        Bytes above which nothing more is counted.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    for place in filter(_exists, places):
        for entry in walk(place, lambda _, __: None):
            info = entry.info
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                identity = (info.st_dev, info.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
            total += info.st_blocks * _BLOCK
            if total > enough:
                return total
    return total


def removed_but_open(pids: list[int]) -> int:
    """Return the bytes on a disk of files without a name that processes have open; memory has its own limit."""
    if sys.platform != "linux":
        return 0
    own = os.memfd_create("device", os.MFD_CLOEXEC)
    memory = os.fstat(own).st_dev
    os.close(own)
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            devices = {memory, os.stat(f"/proc/{pid}/root/dev/shm").st_dev}  # noqa: PTH116
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                info = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116
                if info.st_nlink == 0 and stat.S_ISREG(info.st_mode) and info.st_dev not in devices:
                    sizes[info.st_dev, info.st_ino] = info.st_blocks * _BLOCK
        except OSError:
            continue
    return sum(sizes.values())


def _see_all() -> None:
    """Become root over the job's files, where they are this user's: a job can close its directories to their owner."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 or _libc.unshare(_NEW_USER) != 0:
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        opened = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        os.write(opened, text.encode())
        os.close(opened)


def _exists(place: str) -> bool:
    return os.access(place, os.F_OK)

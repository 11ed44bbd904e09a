"""The control group of one execution: made with its limits, entered by the job, asked, ended and removed.

The lock on its directory tells other nodes that somebody looks after it.
"""

from __future__ import annotations

import fcntl
import os


class Group:
    """The group of one execution; it exists from here on.

    Parameters
    ----------
    path
        Its directory.
    settings
        Files and what is written to each; one whose name ends with ``?`` may be missing.

    Attributes
    ----------
    memory
        Bytes that all in it may use together; 0 for no limit.

    Raises
    ------
    OSError
        It can't be made, or a limit can't be set.
    """

    def __init__(self, path: str, settings: list[tuple[str, str]]) -> None:
        self.path = path
        self.memory = next((int(value) for name, value in settings if name == "memory.max"), 0)
        self._lock = make_locked(path)
        try:
            for name, value in settings:
                try:
                    self._write(name.rstrip("?"), value)
                except FileNotFoundError:
                    if not name.endswith("?"):
                        raise
            self.entrance = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except BaseException:
            self.remove()
            raise

    def _write(self, name: str, value: str) -> None:
        opened = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(opened, value.encode())
        finally:
            os.close(opened)

    def entered(self) -> None:
        """Close what only the job's first process needed."""
        os.close(self.entrance)

    def ran_out_of_memory(self) -> bool:
        """Whether its memory ran out; the kernel then kills all that is in it.

        What the kernel counts as killed may be counted elsewhere, so its own count of running out is asked, too.
        """
        try:
            with open(f"{self.path}/memory.events", "rb") as file:  # noqa: PTH123
                counts = dict(line.split() for line in file)
        except (OSError, ValueError):
            return False
        return any(counts.get(name, b"0") != b"0" for name in (b"oom", b"oom_kill", b"oom_group_kill"))

    def kill(self) -> None:
        """Kill all that is in it at once, where the kernel can (5.14)."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:
            return

    def remove(self) -> None:
        """Remove it; where a process is still on its way out, the node does it later."""
        try:
            os.rmdir(self.path)  # noqa: PTH106
        except OSError:
            return
        finally:
            os.close(self._lock)


def make_locked(path: str) -> int:
    """Make a group, empty, and return the lock that keeps other nodes from tidying it up.

    Raises
    ------
    OSError
        It can't be made.
    """
    while True:
        lock = -1
        try:
            if os.access(path, os.F_OK):
                os.rmdir(path)  # noqa: PTH106 - pathlib is too slow to import here
            os.mkdir(path, 0o755)  # noqa: PTH102
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock).st_ino == os.stat(path).st_ino:  # noqa: PTH116
                return lock
        except FileNotFoundError:
            pass  # another node tidied up: what was left there, or this one before the lock was taken
        if lock >= 0:
            os.close(lock)

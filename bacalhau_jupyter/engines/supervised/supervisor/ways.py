"""How a supervisor looks after the processes of its execution: by what Linux has, or by what every Unix has."""

from __future__ import annotations

import fcntl
import os

from bacalhau_jupyter.engines.supervised.supervisor import confine, exit_record, plain
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
else:
    import _signal  # `signal` itself imports enum: five milliseconds

_PIPE_SIZE = 256 * 1024
_F_SETPIPE_SZ = 1031


class Linux:
    """Whatever a job starts is found below this process, which is a subreaper."""

    started = ""
    """When this process was started, for the pid file."""

    def begin(self) -> None:
        """Prepare this process for the job's."""
        confine.become_subreaper()
        self.started = tree.start_time(os.getpid())

    def widen(self, pipe: int) -> None:
        """Let a pipe hold more than it does by itself."""
        try:
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_SIZE)
        except OSError:
            return  # this user's pipes are at their limit; a smaller one works, too

    def files(self) -> list[int]:
        """Return descriptors that the job's process gets after all others."""
        return []

    def has_started(self, main: int) -> None:
        """Note the job's first process."""

    def has_ended(self) -> None:
        """Note that it has ended, and was waited for."""

    def below(self) -> list[int]:
        """Return the pids of the job."""
        return tree.descendants(os.getpid())

    def kill(self) -> None:
        """Kill all of them."""
        tree.kill_below(os.getpid())

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed for want of memory (0: unknown)."""
        return exit_record.oom_kills()


class Plain(Linux):
    """The job is one process, which starts no other; it ends with this one (`plain`).

    Parameters
    ----------
    job_file
        Where its pid is written while it is its own.
    lock
        The execution's, which it holds, too.
    """

    def __init__(self, job_file: str, lock: int) -> None:
        self._job_file = job_file
        self._lock = lock
        self._main = -1

    def begin(self) -> None:
        os.setsid()
        self.started = plain.UNDATED

    def widen(self, pipe: int) -> None:
        return

    def files(self) -> list[int]:
        read, self._lifeline = os.pipe()
        return [read, os.dup(self._lock)]

    def has_started(self, main: int) -> None:
        self._main = main
        with open(self._job_file, "wb") as file:  # noqa: PTH123 - pathlib is too slow to import here
            file.write(str(main).encode())

    def has_ended(self) -> None:
        self._main = -1
        try:
            os.unlink(self._job_file)  # noqa: PTH108
        except FileNotFoundError:
            return  # there was no room for it

    def below(self) -> list[int]:
        return [self._main] if self._main > 0 else []

    def kill(self) -> None:
        tree.signal_all(self.below(), _signal.SIGKILL)

    def oom_kills(self) -> int:
        return 0


def ways(plan: Plan, lock: int) -> Linux:
    """Return those that a plan asks for."""
    return Plain(plan["pid_file"] + plain.JOB, lock) if plan["plain"] else Linux()

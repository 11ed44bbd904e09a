"""Looking after one process by what every Unix has: locks, pipes and ``waitpid``; no ``/proc``, no pidfd, no subreaper.

For work of ours that starts no other process, where the kernel is not Linux:

* who works on an execution holds its lock, the process of the job, too: while it is held, the number in the pid file
  is the supervisor's, and nobody has to ask when a process was started;
* a process reads from a pipe that only the one above has open for writing, and ends when that has gone;
* a node holds the lock on its file while it lives.
"""

from __future__ import annotations

import _thread
import fcntl
import marshal
import os
import sys

from bacalhau_jupyter.engines.supervised.supervisor import confine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan

UNDATED = "-"
"""Stands in the place of a start time where a lock says who a number belongs to."""
JOB = ".job"
"""What the name of the pid file of a job's process ends with, after that of its supervisor's."""
_KILLED = 137


def end_with(descriptor: int) -> None:
    """Let this process end when nobody has the other end of a pipe open any more."""
    _thread.start_new_thread(_end_with, (descriptor,))


def _end_with(descriptor: int) -> None:
    while True:
        try:
            if not os.read(descriptor, 1):
                os._exit(_KILLED)
        except InterruptedError:
            continue
        except OSError:
            os._exit(_KILLED)


def watch_holder(path: str) -> int:
    """Watch who holds the lock on a file; return a descriptor that hangs up when it is free, -1 if nobody holds it."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        read, write = os.pipe()
        _thread.start_new_thread(_wait_for, (lock, write))
        return read
    except OSError:
        pass
    os.close(lock)
    return -1


def _wait_for(lock: int, tell: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)
        os.close(tell)


def main() -> None:
    """Do the work of the plan whose path and whose pipe for failures are the last arguments (`Plan.runner`).

    A program of its own, since a process that was only forked may not use all of its system's libraries on macOS.
    """
    failure = int(sys.argv[-1])
    os.set_inheritable(failure, False)
    with open(sys.argv[-2], "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
        plan: Plan = marshal.load(file)
    end_with(lifeline(plan))
    confine.become_runner(plan, failure)


def lifeline(plan: Plan) -> int:
    """Return which descriptor of a job's process the supervisor keeps the other end of; the lock is the next one."""
    return confine.FIRST_FILE + len(plan["sandbox_files"]) + 1 + len(plan["pinned"])

"""The delegated group of this node: found, made ready, tried, and tidied up."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.cgroups.place import (
    CONTROLLERS,
    JOB,
    OTHERS,
    Facts,
    NotDelegated,
    objection,
    own_group,
)
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.engines.supervised.supervisor.limits.group import make_locked
from bacalhau_jupyter.lib.text import read_text, write_text

_MARKS = ("trusted.delegate", "user.delegate")
_ROUNDS = 20
"""How often processes are moved that were forked meanwhile."""


@dataclass(frozen=True)
class Delegated:
    """Where jobs get groups; ``directory`` is None where they get none, and ``problem`` says why."""

    directory: Path | None
    controllers: frozenset[str] = frozenset()
    problem: str = ""

    def group_of(self, place: Path) -> Path | None:
        """Return the group of the execution whose directory is ``place``."""
        if self.directory is None:
            return None
        return self.directory / (JOB + hashlib.sha256(os.fsencode(place)).hexdigest()[:24])


NOTHING = Delegated(None)


_preparing = threading.Lock()
"""Engines ask at the same time, each in a thread: they try one group."""


def of_this_node() -> Delegated:
    """Return the group of this process, made ready for jobs."""
    with _preparing:
        return _prepared()


@functools.cache
def _prepared() -> Delegated:
    return prepare(Path("/"))


def prepare(root: Path, is_marked: Callable[[Path], bool] | None = None) -> Delegated:
    """Find the group below which jobs get theirs, and switch its controllers on.

    Parameters
    ----------
    root
        Of the file system.
    is_marked
        Whether systemd has delegated a group; None: its extended attributes say so.
    """
    try:
        group = own_group(
            read_text(root / "proc/self/cgroup", errors="replace"),
            read_text(root / "proc/self/mountinfo", errors="replace"),
        )
        directory = root / group.directory.lstrip("/")
        facts = _facts(directory, is_marked or _is_marked)
        if reason := objection(group, facts, is_root=host.is_root()):
            raise NotDelegated(reason)
        controllers = _switch_on(directory, facts.controllers.intersection(CONTROLLERS))
        _try(directory)
    except NotDelegated as reason:
        return Delegated(None, problem=str(reason))
    except OSError as error:
        return Delegated(None, problem=f"control groups can't be used: {error}")
    return Delegated(directory, controllers)


def _facts(directory: Path, is_marked: Callable[[Path], bool]) -> Facts:
    procs = directory / "cgroup.procs"
    ours = {os.getpid(), *tree.descendants(os.getpid())}
    return Facts(
        controllers=frozenset(_words(directory / "cgroup.controllers")),
        is_writable=os.access(directory, os.W_OK | os.X_OK)
        and all(os.access(each, os.W_OK) for each in (procs, directory / "cgroup.subtree_control")),
        is_marked=is_marked(directory),
        strangers=sum(pid not in ours for pid in map(int, _words(procs))),
    )


def _is_marked(directory: Path) -> bool:
    if sys.platform == "linux":
        for name in _MARKS:
            with contextlib.suppress(OSError):
                if os.getxattr(directory, name) == b"1":
                    return True
    return False


def _words(path: Path) -> list[str]:
    try:
        return read_text(path).split()
    except OSError:
        return []


def _switch_on(directory: Path, controllers: frozenset[str]) -> frozenset[str]:
    """Let groups in ``directory`` have limits; return which.

    Raises
    ------
    NotDelegated
        None can be switched on.
    """
    _empty(directory)
    control = directory / "cgroup.subtree_control"
    problem = ""
    for each in sorted(controllers.difference(_words(control))):
        try:
            write_text(control, f"+{each}")
        except OSError as error:
            problem = f": {error.strerror}"
    enabled = controllers.intersection(_words(control))
    if not enabled:
        raise NotDelegated(f"no controller can be switched on in {directory}{problem}")
    return enabled


def _empty(directory: Path) -> None:
    """Move the processes of a group into one below it; only the machine's own top group may have both.

    Before any controller is switched on: the kernel lets a group with processes have some of them, and then takes no
    process in the groups below.
    """
    if not (directory / "cgroup.type").exists():
        return
    procs, others = directory / "cgroup.procs", directory / OTHERS
    for _ in range(_ROUNDS):
        pids = _words(procs)
        if not pids:
            return
        others.mkdir(exist_ok=True)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write_text(others / "cgroup.procs", pid)
    raise NotDelegated(f"some processes of the control group {directory} can't be moved")


def _try(directory: Path) -> None:
    """Put a process into a group below ``directory``, as is done with each job.

    Raises
    ------
    NotDelegated
        The kernel does not let it.
    """
    group = directory / f"{JOB}try-{os.getpid()}"
    lock = -1
    with subprocess.Popen(["/bin/sh", "-c", "read wait"], stdin=subprocess.PIPE) as process:
        try:
            # Another node that starts now tidies up what nobody holds.
            lock = make_locked(str(group))
            write_text(group / "cgroup.procs", str(process.pid))
        except OSError as error:
            raise NotDelegated(f"no process can enter a group in {directory}: {error.strerror}") from None
        finally:
            process.kill()
            process.wait()
            remove(group)
            if lock >= 0:
                os.close(lock)


def remove(group: Path) -> None:
    """Remove a group that no process is in any more; one that still has some stays."""
    with contextlib.suppress(OSError):
        group.rmdir()


def kill(group: Path) -> None:
    """Kill every process of a group at once."""
    with contextlib.suppress(OSError):
        write_text(group / "cgroup.kill", "1")


def sweep(delegated: Delegated) -> None:
    """Remove the groups of executions that nobody looks after any more: their supervisors hold a lock on them."""
    if delegated.directory is None:
        return
    for group in delegated.directory.glob(f"{JOB}*"):
        with contextlib.suppress(OSError):
            opened = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                group.rmdir()
            finally:
                os.close(opened)

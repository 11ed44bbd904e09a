"""Starting a supervisor as a Python of its own, and cleaning up after one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from bacalhau_jupyter.engines.supervised import bare, host
from bacalhau_jupyter.engines.supervised.cgroups import delegated
from bacalhau_jupyter.engines.supervised.confinement import shm
from bacalhau_jupyter.engines.supervised.state import About, State
from bacalhau_jupyter.engines.supervised.supervisor import plain, supervisor
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.lib.text import read_text, write_text

_CODE = bare.program("bacalhau_jupyter.engines.supervised.supervisor.supervisor")
_SWEEP_TIMEOUT_S = 5.0
_FREE = 10
"""Numbers of descriptors from here on are no targets."""


def spawn(state: State, lock: int, *, own_session: bool = False) -> int:
    """Start the supervisor of a prepared execution in a new session; return its pid.

    It holds ``lock`` from its first instant and nothing else of ours: no pipe, no terminal, no environment.

    Parameters
    ----------
    own_session
        Whether it makes the session itself: not every system can do that for it.
    """
    errors = open_errors(state)
    try:
        files = {2: errors, supervisor.LOCK_FD: lock}
        return start_python([_CODE, bare.PACKAGE, str(state.plan)], files, own_session=own_session)
    finally:
        os.close(errors)


def open_errors(state: State) -> int:
    """Open what a supervisor that can't begin says its reason to."""
    return os.open(state.errors_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def start_python(words: list[str], files: dict[int, int], *, own_session: bool = False) -> int:
    """Start a bare Python in a new session; return its pid.

    Parameters
    ----------
    words
        What ``-c`` runs, and its arguments.
    files
        Descriptors of ours, by the number that the process gets them as. The first three are ``/dev/null`` where they
        are not named.
    own_session
        As for `spawn`.
    """
    environment = {"PATH": os.defpath}
    environment |= {
        name: value for name, value in os.environ.items() if name == "LANG" or name.startswith("LC_")
    }
    environment |= {name: os.environ[name] for name in ("LANGUAGE", "TZ") if name in os.environ}
    with contextlib.ExitStack() as opened:

        def kept(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        null = kept(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        # One that has its number already would be closed there: not every system sees that it is meant to stay.
        copies = {
            target: kept(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FREE)) for target, each in files.items()
        }
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", *words],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, copies.get(target, null), target)
                for target in sorted({0, 1, 2, *files})
            ],
            setsid=not own_session,
            setsigmask=[],
            # A node that a shell starts in the background ignores some: a job could never hear them.
            setsigdef=sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}),
        )


def announce(node_file: Path) -> None:
    """Write which process looks after the executions from now on."""
    partial = node_file.with_suffix(".new")
    write_text(partial, f"{os.getpid()} {tree.start_time(os.getpid())}\n")
    partial.replace(node_file)


def terminate(pid: int, start: str, number: int = signal.SIGTERM) -> None:
    """Ask a supervisor to end its execution (or kill it); do nothing if it has gone.

    Of one without a start time the lock of its execution was held a moment ago, so it is its own number.
    """
    try:
        descriptor = -1 if start == plain.UNDATED else tree.pidfd_of(pid)
    except ProcessLookupError:
        return
    except OSError:
        descriptor = -1
    try:
        if start == plain.UNDATED or tree.start_time(pid) == start:
            with contextlib.suppress(ProcessLookupError):
                tree.send(pid, descriptor, number)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def sweep(state: State, about: About | None) -> None:
    """Kill what a supervisor left behind that was itself killed, found by its group, its user or its environment."""
    if about is not None and about.plain:
        _sweep_plain(state)
        return
    if (group := state.group()) is not None:
        delegated.kill(group)
    marker = b"BACALHAU_EXECUTION_ID=" + state.id.encode() + b"\0"
    deadline = time.monotonic() + _SWEEP_TIMEOUT_S
    while left := [pid for pid in _everybody() if _belongs(pid, marker, about.user if about else -1)]:
        tree.signal_all(left, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    if about and about.user >= 0:
        shm.forget(about.user)


def _sweep_plain(state: State) -> None:
    """Kill the process of the job, which holds the lock as long as it is there; it ends by itself, too."""
    deadline = time.monotonic() + _SWEEP_TIMEOUT_S
    while state.is_alive() and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(read_text(state.job_file)), signal.SIGKILL)
        time.sleep(0.01)


def hold(node_file: Path) -> int:
    """Write which process looks after the executions from now on, and lock the file; return the descriptor.

    Supervisors that only look whether it is locked hold it for an instant, too.

    Raises
    ------
    OSError
        Another node has it.
    """
    held = os.open(node_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _SWEEP_TIMEOUT_S
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        os.ftruncate(held, 0)
        os.pwrite(held, f"{os.getpid()} {plain.UNDATED}\n".encode(), 0)
    except BaseException:
        os.close(held)
        raise
    return held


def _everybody() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _belongs(pid: int, marker: bytes, user: int) -> bool:
    if pid == os.getpid() or not tree.start_time(pid):
        return False
    directory = Path(f"/proc/{pid}")
    try:
        if user >= 0:
            owner = directory.stat().st_uid
            return owner == user or owner in host.image_ids(user)
        return marker in directory.joinpath("environ").read_bytes() + b"\0"
    except OSError:
        return False

"""What the engine keeps on disk per execution, so that a restarted node finds everything again.

The lock shows whether an execution is alive: the node takes it before it writes anything, the supervisor inherits the
descriptor, and the kernel lets go when the last of the two has ended. No instant is left in which an execution runs
and looks as if it did not.
"""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.supervised.cgroups import delegated
from bacalhau_jupyter.engines.supervised.supervisor.plain import JOB
from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.text import read_text, write_text
from bacalhau_jupyter.models.errors import EngineError

_RESERVED = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class About:
    """What is known of a started execution: tier label, job uid (-1: the node's), log file, scratch outside.

    ``plain``: only what every Unix has is used to look after it (`supervisor.plain`).
    """

    tier: str
    user: int
    log: str
    scratch: str = ""
    plain: bool = False


@dataclass(frozen=True)
class EndRecord:
    """How an execution ended, as its supervisor wrote it."""

    reason: str
    exit_code: int
    error: str


class State:
    """One execution's directory.

    Parameters
    ----------
    root
        The engine's directory.
    execution_id
        Names the directory.

    Raises
    ------
    EngineError
        The ID can't be a directory's name.
    """

    def __init__(self, root: Path, execution_id: str) -> None:
        if not _NAME.fullmatch(execution_id):
            raise EngineError(f"{execution_id!r} is not an execution ID")
        self.id = execution_id
        self.path = root / execution_id
        self.plan = self.path / "plan"
        self.record_file = self.path / "exit.json"
        self.pid_file = self.path / "pid"
        self.job_file = self.path / f"pid{JOB}"
        self.cancel_file = self.path / "cancel"
        self.about_file = self.path / "about.json"
        self.door = self.path / "door"
        self.errors_file = self.path / "supervisor.err"
        self.group_file = self.path / "group"
        self._lock = self.path / "lock"

    def create(self) -> int:
        """Create the directory and return the locked descriptor; it stays locked while it is open.

        Raises
        ------
        FileExistsError
            There is one already.
        """
        self.path.mkdir(mode=0o700)
        # It gets its name when it is locked: who looks whether somebody works on it takes it for an instant.
        nameless = self.path / "lock.new"
        lock = os.open(nameless, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            nameless.rename(self._lock)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def is_alive(self) -> bool:
        """Whether the node or a supervisor is at work on it."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def wait_until_dead(self) -> None:
        """Block until no process works on it."""
        lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def was_started(self) -> bool:
        """Whether a supervisor ever ran."""
        return self.pid_file.exists() or self.record_file.exists()

    def supervisor(self) -> tuple[int, str] | None:
        """Return the supervisor's pid and start time, or None while it has not written them."""
        try:
            pid, start = read_text(self.pid_file).split()
        except (OSError, ValueError):
            return None
        return int(pid), start

    def about(self) -> About | None:
        """Return what was noted when it was started."""
        data = _read(self.about_file)
        return About(**data) if data else None

    def group(self) -> Path | None:
        """Return the control group that was made for it, or None."""
        try:
            return Path(read_text(self.group_file))
        except OSError:
            return None

    def record(self) -> EndRecord | None:
        """Return the exit record, or None when there is none (yet)."""
        data = _read(self.record_file)
        return EndRecord(data["reason"], data["exit_code"], data["error"]) if data else None

    def note(self, about: About) -> None:
        """Write down what has to be removed and whom to look for, before any of it is used."""
        write_text(self.about_file, json.dumps(asdict(about)))

    def write(self, plan: Plan) -> None:
        """Write what the supervisor does, and reserve the space of its exit record."""
        reserved = os.open(f"{self.record_file}.reserved", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Zeros, not a hole: a record has to be written when the disk is full.
            os.write(reserved, b"\0" * _RESERVED)
        finally:
            os.close(reserved)
        descriptor = os.open(self.plan, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            marshal.dump(dict(plan), file)

    def remove(self) -> None:
        """Remove the directory and the scratch outside of it."""
        about, group = self.about(), self.group()
        if group is not None:
            delegated.remove(group)
        if about and about.scratch:
            remove_tree(Path(about.scratch))
        remove_tree(self.path)


def existing(root: Path) -> list[str]:
    """Return the IDs of the executions that something is kept of."""
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
    except FileNotFoundError:
        return []


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None

"""Users of jobs, where the node runs as root: each job gets a uid that no other job of the node has."""

from __future__ import annotations

import functools
import threading
import zlib
from pathlib import Path

from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.state import State, existing
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import EngineError


class Users:
    """The uids of one compute node's jobs, of all its engines: jobs with the same uid could touch each other."""

    def __init__(self) -> None:
        self._roots: set[Path] = set()
        self._users: dict[str, int] = {}
        self._lock = threading.Lock()

    def look_at(self, root: Path) -> None:
        """Count the executions below an engine's directory, too, also those of an earlier node."""
        with self._lock:
            self._roots.add(root)

    def take(self, node_id: str, execution_id: str) -> int:
        """Return a uid for an execution; the same one again until it is given back.

        Raises
        ------
        EngineError
            No uid is left.
        """
        with self._lock:
            for root in self._roots:
                for known in existing(root):
                    about = State(root, known).about() if known not in self._users else None
                    if about:
                        self._users[known] = about.user
            taken = {user for known, user in self._users.items() if known != execution_id}
            first = zlib.crc32(f"{node_id}/{execution_id}".encode())
            for step in range(host.JOB_UIDS):
                user = host.FIRST_JOB_UID + (first + step) % host.JOB_UIDS
                if user not in taken and not host.is_known_user(user):
                    self._users[execution_id] = user
                    return user
        raise EngineError("no uid is left for another job", retryable=True)

    def give_back(self, execution_id: str) -> None:
        """Let another execution have the uid."""
        with self._lock:
            self._users.pop(execution_id, None)


def problem() -> str:
    """Say why a node of root can't give its jobs users of their own; empty where it can."""
    if are_there(host.FIRST_JOB_UID, host.JOB_UIDS):
        return ""
    return (
        "this node runs as root of a user namespace that lacks the users of jobs "
        f"({host.FIRST_JOB_UID} to {host.FIRST_JOB_UID + host.JOB_UIDS - 1}): run it as an ordinary user, or map "
        "65,536 users and groups into that namespace"
    )


def are_there(first: int, size: int) -> bool:
    """Whether the kernel knows these users and groups here: a new user namespace often holds root only."""
    return all(_covers(Path("/proc/self", name), first, size) for name in ("uid_map", "gid_map"))


@functools.cache
def _covers(table: Path, first: int, size: int) -> bool:
    try:
        rows = [map(int, line.split()) for line in read_text(table).splitlines()]
    except OSError:
        return True
    return any(start <= first and first + size <= start + count for start, _, count in rows)


@functools.cache
def users_of(data_dir: Path) -> Users:
    """Return the users of a compute node's jobs; its engines share them."""
    return Users()

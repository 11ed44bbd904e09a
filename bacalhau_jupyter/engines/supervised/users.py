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
            No uid is left, or this machine's root has only some users (in a user namespace).
        """
        if not _has_users():
            raise EngineError(
                "this node runs as root of a user namespace that lacks the users of jobs "
                f"({host.FIRST_JOB_UID} to {host.FIRST_JOB_UID + host.JOB_UIDS - 1})",
                hint="run the node as an ordinary user, or map 65,536 users and groups into that namespace",
            )
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


@functools.cache
def _has_users() -> bool:
    """Whether the kernel knows the users of jobs here: a new user namespace often holds root only."""
    return all(_covers(Path("/proc/self", name)) for name in ("uid_map", "gid_map"))


def _covers(table: Path) -> bool:
    try:
        ranges = [(int(first), int(size)) for first, _, size in map(str.split, read_text(table).splitlines())]
    except OSError:
        return True
    last = host.FIRST_JOB_UID + host.JOB_UIDS - 1
    return any(first <= host.FIRST_JOB_UID and last < first + size for first, size in ranges)


@functools.cache
def users_of(data_dir: Path) -> Users:
    """Return the users of a compute node's jobs; its engines share them."""
    return Users()

"""Ports for servers that must know theirs before they start, such as programs that are told it in a file.

A port that the system picked for a socket, and that was let go again, may be anybody's a moment later: a server of
another worker's, or this machine's end of any connection. These lie below those that the system picks, and a lock
keeps each for the process that asked, until that ends.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import socket

import pytest

from bacalhau_jupyter.config import keys
from tests.services.common import cache_dir

# Below what Linux picks from (32768) and what nodes give to jobs (20000), above where services usually listen.
FIRST, LAST = 10_000, 19_999
_assigned: set[int] = set()
_locks: list[int] = []


def free_port() -> int:
    """Return a port that nobody listens on and that no other call, in any process, returns while this process lives.

    Raises
    ------
    AssertionError
        All are taken.
    """
    if not _locks:
        # Once for all: such a lock is lost as soon as any file of its name is closed in this process.
        _locks.append(os.open(cache_dir() / "ports.lock", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    count = LAST - FIRST + 1
    for step in range(count):
        # Users do not see one another's locks, so processes begin at different places.
        port = FIRST + (os.getpid() * 61 + step) % count
        if port not in _assigned and _is_ours(_locks[0], port) and _is_free(port):
            _assigned.add(port)
            return port
    raise AssertionError(f"no port from {FIRST} to {LAST} is free")


def set_default_port(monkeypatch: pytest.MonkeyPatch, name: str, port: int | None = None) -> None:
    """Change the default of a key for a port, to `free_port` unless told otherwise.

    The usual one may be taken and free again at any time, by other tests: of a node that ends and starts again, too.
    """
    key = dataclasses.replace(keys.KEYS[name], default=port or free_port())
    monkeypatch.setitem(keys._FOLDED, name.lower(), key)


def _is_ours(file: int, port: int) -> bool:
    """Lock the byte that stands for a port; whether nobody else has it."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    """Whether nothing has the port, at any address of this machine."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True

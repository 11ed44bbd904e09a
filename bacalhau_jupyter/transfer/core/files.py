"""What every transfer shares: progress, disk errors in words, and long work in threads that can be called off."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes

T = TypeVar("T")


CHUNK = 1 << 20
"""Bytes moved at a time: what a transfer holds in memory, and how often it reports and can be called off."""

_STOP_TIMEOUT_S = 10.0
_LONG_PATH = 400
_slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


class Interrupted(Exception):
    """Work in a thread noticed that its caller no longer waits."""


def free_bytes(path: Path) -> int | None:
    """Return the bytes free for us on the disk of ``path`` or its nearest existing parent; None when unknown."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def disk_full(path: Path, component: str, needed: int | None = None) -> IOFailure:
    """Return the error for a full disk; it names the path and what is free there."""
    free = free_bytes(path)
    facts = [] if needed is None else [f"{format_bytes(needed)} needed"]
    facts += [] if free is None else [f"{format_bytes(free)} free"]
    reason = f" ({', '.join(facts)})" if facts else ""
    return IOFailure(
        f"the disk is full: could not write {path}{reason}",
        hint="free some space there, or move the directory to a larger disk",
        component=component,
    )


def io_failure(error: OSError, action: str, path: Path, component: str) -> IOFailure:
    """Turn an `OSError` into one sentence: what could not be done, with which path, and why.

    Parameters
    ----------
    action
        A verb with its preposition, such as ``write`` or ``unpack into``.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path, component)
    reason = error.strerror or str(error) or type(error).__name__
    return IOFailure(
        f"could not {action} {shortened(str(path))}: {reason[:1].lower()}{reason[1:]}", component=component
    )


def shortened(path: str) -> str:
    """Return a path for a message: of one that fills pages its beginning and end."""
    return path if len(path) <= _LONG_PATH else f"{path[: _LONG_PATH // 2]}…{path[-_LONG_PATH // 2 :]}"


def write_at(descriptor: int, chunk: bytes, position: int) -> None:
    """Write all of a chunk at a position of a file; the file's own position stays."""
    view, written = memoryview(chunk), 0
    while written < len(chunk):
        written += os.pwrite(descriptor, view[written:], position + written)


async def run_interruptible(work: Callable[[threading.Event], T]) -> T:
    """Run long blocking work in a thread; when the caller is cancelled, stop it and wait until it has stopped.

    Parameters
    ----------
    work
        Gets an event that is set when it should stop; it looks at least once per `CHUNK`, cleans up and raises
        `Interrupted`.
    """
    loop = asyncio.get_running_loop()
    stop = threading.Event()
    # Packing keeps a thread for long: a few at a time, so that short calls still find one.
    slot = _slots.setdefault(loop, asyncio.Semaphore(max(2, os.cpu_count() or 1)))
    async with slot:
        future = loop.run_in_executor(None, work, stop)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([future], timeout=_STOP_TIMEOUT_S)
            raise


def check_interrupted(stop: threading.Event | None) -> None:
    """Raise `Interrupted` when the event is set."""
    if stop is not None and stop.is_set():
        raise Interrupted

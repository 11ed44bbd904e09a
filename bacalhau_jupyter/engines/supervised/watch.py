"""Waiting for a supervisor's end without asking again and again: a pidfd in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading

from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.engines.supervised.supervisor.plain import UNDATED


async def until_ended(state: State, pid: int, start: str) -> None:
    """Return when the supervisor has ended, and reap it where it is our child.

    Parameters
    ----------
    state
        The execution's directory, whose lock is the fallback where the kernel has no pidfd.
    pid, start
        The supervisor and when the kernel started it (`UNDATED`: only its lock tells; empty: it had ended already).
    """
    try:
        descriptor = -1 if start == UNDATED else tree.pidfd_of(pid)
    except ProcessLookupError:
        _reap(pid)
        return
    except OSError:
        descriptor = -1  # no pidfd here
    if descriptor < 0:
        await until_unlocked(state)
        _reap(pid)
        return
    try:
        if tree.start_time(pid) not in (start, ""):
            return  # the number belongs to another process by now
        await _readable(descriptor)
    finally:
        os.close(descriptor)
    _reap(pid)


async def until_unlocked(state: State) -> None:
    """Return when the execution's lock is free."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def block() -> None:
        with contextlib.suppress(OSError):
            state.wait_until_dead()
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(wake)

    # Its own thread, not the loop's pool: it may block for days, and must not delay the node's end.
    threading.Thread(target=block, name=f"process-lock-{state.id}", daemon=True).start()
    await done


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)

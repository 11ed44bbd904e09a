"""The node's side of every execution's way out: Unix sockets on which holders hand over their listening sockets.

All of it runs on one event loop in a thread of its own: what jobs download does not wait for the node, nor the node for
it. Engines call from their loop and from their threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bacalhau_jupyter.engines.network.accepting import RETRY_S, Accepting
from bacalhau_jupyter.engines.network.proxy import CONNECTIONS, HEAD_LIMIT, REFUSALS, Proxy, Rules

SOCKET = "door"
"""Name of the Unix socket in the directory that a holder is shown."""
CALL_TIMEOUT_S = 30.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Doors:
    """The ways out of the executions of one engine, by execution ID; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._doors: dict[str, _Door] = {}

    def open(self, execution_id: str, directory: Path, rules: Rules) -> None:
        """Wait at ``directory`` for an execution's holder; a door that is open already stays.

        Raises
        ------
        OSError
            The socket can't be made.
        """
        self._call(self._open(execution_id, directory, rules))

    def wait_ready(self, execution_id: str, timeout_s: float) -> bool:
        """Wait until the holder has handed over a socket; False when none has in that time. Blocking."""
        door = self._doors.get(execution_id)
        return door is not None and door.ready.wait(timeout_s)

    def close(self, execution_id: str) -> None:
        """End an execution's way out with all its connections; one that has none is fine."""
        if execution_id in self._doors:
            self._call(self._close(execution_id))

    def stop(self) -> None:
        """Close all; holders wait for the node's next start."""
        # Under the lock: calls from before run on this loop first, and a later call starts a loop of its own.
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop is None or thread is None:
                return
            closing = asyncio.run_coroutine_threadsafe(self._close_all(), loop)
        with contextlib.suppress(Exception):
            closing.result(CALL_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CALL_TIMEOUT_S)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            done = asyncio.run_coroutine_threadsafe(work, self._running())
        return done.result(CALL_TIMEOUT_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="job networks", daemon=True)
            self._thread.start()
        return self._loop

    async def _open(self, execution_id: str, directory: Path, rules: Rules) -> None:
        if execution_id not in self._doors:
            self._doors[execution_id] = _Door(directory, rules)

    async def _close(self, execution_id: str) -> None:
        door = self._doors.pop(execution_id, None)
        if door is not None:
            await door.close()

    async def _close_all(self) -> None:
        for execution_id in list(self._doors):
            await self._close(execution_id)
        # A door that another thread is closing has sockets to close until it is done.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


class _Door:
    """One Unix socket, the holder that is connected to it, and the server on what it handed over."""

    def __init__(self, directory: Path, rules: Rules) -> None:
        self.ready = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._accepting = Accepting(Proxy(rules).serve, CONNECTIONS + REFUSALS, HEAD_LIMIT)
        self._serving: asyncio.Task[None] | None = None
        self._holder: socket.socket | None = None
        self._greeted: set[socket.socket] = set()
        self._socket = _listen(directory)
        self._pause: asyncio.TimerHandle | None = None
        self._look_out()

    def _look_out(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._greet)

    async def close(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._pause is not None:
            self._pause.cancel()
        self._socket.close()
        await self._leave()

    def _greet(self) -> None:
        try:
            holder, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError:
            # This process has no descriptor left, say: it would be told of the same holder again and again.
            self._loop.remove_reader(self._socket)
            self._pause = self._loop.call_later(RETRY_S, self._look_out)
            return
        holder.setblocking(False)
        self._greeted.add(holder)
        self._loop.add_reader(holder, self._receive, holder)

    def _receive(self, holder: socket.socket) -> None:
        """Take a listening socket from a holder; a holder that says anything else, or goes, is let go."""
        descriptors: list[int] = []
        try:
            _, descriptors, _, _ = socket.recv_fds(holder, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            pass
        listener = _listener(descriptors)
        if listener is None:
            self._let_go(holder)
            self._holder = None if holder is self._holder else self._holder
            return
        previous, self._holder = self._holder, holder
        if previous is not None:
            self._let_go(previous)
        if self._serving is not None:
            self._serving.cancel()
        self._serving = self._loop.create_task(self._accepting.run(listener))
        # A task that is cancelled before it begins closes nothing.
        self._serving.add_done_callback(lambda _: listener.close())
        self.ready.set()

    async def _leave(self) -> None:
        # First, so that no socket arrives while the last one is given up.
        for holder in list(self._greeted):
            self._let_go(holder)
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await self._accepting.close()

    def _let_go(self, holder: socket.socket) -> None:
        self._loop.remove_reader(holder)
        holder.close()
        self._greeted.discard(holder)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _listen(directory: Path, platform: str = sys.platform) -> socket.socket:
    """Return a listening Unix socket in a directory, whose path may be longer than such a name can be."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Whoever gets to the directory may connect: those above it are the node's own.
    directory.chmod(0o755)
    path = directory / SOCKET
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(door, path, platform)
        path.chmod(0o666)
        door.listen(8)
        door.setblocking(False)
    except BaseException:
        door.close()
        raise
    return door


def _bind(door: socket.socket, path: Path, platform: str) -> None:
    """Bind a socket to a path through a shorter name of its directory."""
    if platform == "linux":
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            door.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        return
    with tempfile.TemporaryDirectory(prefix="door-") as short:
        link = Path(short, "d")
        link.symlink_to(path.parent.absolute())
        door.bind(str(link / path.name))


def _listener(descriptors: list[int]) -> socket.socket | None:
    """Return the socket that was handed over, if it is one that listens."""
    for descriptor in descriptors:
        try:
            listener = socket.socket(fileno=descriptor)
            listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            continue
        if listens and listener.family in (socket.AF_INET, socket.AF_UNIX):
            listener.setblocking(False)
            return listener
        listener.close()
    return None

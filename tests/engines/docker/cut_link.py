"""The socket of a Docker Engine that a test can cut, and the link that leads through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostStatus

_PIECE = 1 << 16
AWAY = "host gpu1 does not answer since 14:03"


class CutSocket:
    """Passes connections to a unix socket on to another one, from threads of its own.

    Parameters
    ----------
    path
        Where it listens.
    upstream
        Where it leads.

    Attributes
    ----------
    passed
        Bytes that went to the upstream socket.
    on_bytes
        Called with that number after each piece.
    there, back
        What is made of each piece on its way to the upstream socket, and from it.
    """

    def __init__(self, path: Path, upstream: str) -> None:
        self.path = path
        self.upstream = upstream
        self.passed = 0
        self.on_bytes: Callable[[int], None] = lambda passed: None
        self.there: Callable[[bytes], bytes] = bytes
        self.back: Callable[[bytes], bytes] = bytes
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._run(self._accept, self._listener)

    def cut(self) -> None:
        """End every connection, and the socket."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def reset(self) -> None:
        """End every connection."""
        with self._lock:
            ends = list(self._sockets)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it; nothing of it is left."""
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._run(self._join, near)

    def _join(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        with contextlib.closing(near), contextlib.closing(far):
            try:
                far.connect(self.upstream)
            except OSError:
                return
            with self._lock:
                if self._listener is None:
                    return
                self._sockets |= {near, far}
            back = self._run(self._copy, far, near, False)
            self._copy(near, far, True)
            back.join()
            with self._lock:
                self._sockets -= {near, far}

    def _copy(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                target.sendall(self.there(piece) if counts else self.back(piece))
                if counts:
                    self.passed += len(piece)
                    self.on_bytes(self.passed)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


class CutLink:
    """A `HostLink` over a `CutSocket`: it is as the test makes it, and so are the connections.

    Attributes
    ----------
    broken
        What calls reported as failed.
    """

    name = "gpu1"

    def __init__(self, directory: Path, engine_url: str) -> None:
        self.socket = CutSocket(directory / "gpu1.sock", engine_url.removeprefix("unix://"))
        self.endpoint = Endpoint(f"unix://{self.socket.path}", "hosts.yaml", shown="host gpu1")
        self.broken: list[str] = []
        self._status = HostStatus(HostState.CONNECTING)
        self._listeners: list[Callable[[HostStatus], None]] = []
        self._ready = asyncio.Event()

    @property
    def status(self) -> HostStatus:
        return self._status

    def watch(self, listener: Callable[[HostStatus], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def start(self) -> None:
        self.heal()

    async def ready(self) -> None:
        await self._ready.wait()

    def broke(self, reason: str) -> None:
        self.broken.append(reason)

    def again(self) -> None:
        return

    async def run(self, script: str, timeout_s: float) -> str:
        raise NotImplementedHere("this way leads to no shell")

    async def close(self) -> None:
        self.socket.close()

    def cut(self) -> None:
        """Break the way."""
        self.socket.cut()
        self._ready.clear()
        self._tell(HostStatus(HostState.UNREACHABLE, AWAY, since_ns=time.time_ns()))

    def cut_after(self, size: int) -> asyncio.Event:
        """Break the way once so many more bytes went there, and let none follow; what is returned tells of it."""
        loop, is_cut, is_over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        stop = self.socket.passed + size

        def cut() -> None:
            if not is_cut.is_set():
                self.cut()
                is_cut.set()
                is_over.set()

        def on_bytes(passed: int) -> None:
            if passed > stop and not is_over.is_set():
                loop.call_soon_threadsafe(cut)
                # Whatever was sent meanwhile could be whole before the loop gets to it.
                is_over.wait(60)

        self.socket.on_bytes = on_bytes
        return is_cut

    def heal(self) -> None:
        """Make it whole."""
        self.socket.open()
        self._ready.set()
        self._tell(HostStatus(HostState.READY))

    def _tell(self, status: HostStatus) -> None:
        self._status = status
        for listener in list(self._listeners):
            listener(status)

"""A TCP proxy on a loopback port whose connections a test cuts, holds and restores."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

_STEP_S = 0.2
_PIECE = 1 << 16
_CLOSE_AT_ONCE = struct.pack("ii", 1, 0)


class CuttableLink:
    """A way to a port of this machine.

    Parameters
    ----------
    target_port
        Where it leads; the server behind may come and go.

    Attributes
    ----------
    port
        Where it listens.
    url
        The same as a NATS address.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_STEP_S)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        self._is_closed = False
        self._run(self._accept)

    def __enter__(self) -> CuttableLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Reset every connection, and those that come, until `restore`."""
        with self._lock:
            self._is_cut = True
            connections = list(self._sockets)
        for connection in connections:
            _reset(connection)

    def restore(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_cut = False
        self._flows.set()

    def pause(self) -> None:
        """Hold what is sent either way, as a cable without a signal does: no side is told."""
        self._flows.clear()

    def resume(self) -> None:
        """Pass on what was held, and what follows."""
        self._flows.set()

    def close(self) -> None:
        """End it; nothing of it is left running."""
        self._is_closed = True
        self.cut()
        self._flows.set()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._run(self._join, near)

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=60)
        except OSError:
            _reset(near)
            near.close()
            return
        pair = (near, far)
        with self._lock:
            is_cut = self._is_cut
            self._sockets.update(pair)
        if is_cut:
            for end in pair:
                _reset(end)
        back = self._run(self._copy, far, near)
        self._copy(near, far)
        back.join()
        with self._lock:
            self._sockets.difference_update(pair)
        for end in pair:
            end.close()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what comes until either side ends; what is held when it is cut is lost."""
        with contextlib.suppress(OSError):
            source.settimeout(None)
            while piece := source.recv(_PIECE):
                self._flows.wait()
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _run(self, work: object, *arguments: object) -> threading.Thread:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


def _reset(connection: socket.socket) -> None:
    """End a connection so that the other side sees a reset, and a thread that reads from it wakes."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

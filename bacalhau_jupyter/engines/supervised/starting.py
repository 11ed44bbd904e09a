"""Starting supervisors: by a process that has loaded their code and forks, else each as a Python of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

from bacalhau_jupyter.engines.supervised import bare, spawn
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor import forkserver

_CODE = bare.program("bacalhau_jupyter.engines.supervised.supervisor.forkserver")
_TIMEOUT_S = 10.0


class Server:
    """One process that forks supervisors. All methods block.

    Raises
    ------
    OSError
        It can't be started.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self.pid = spawn.start_python([_CODE, bare.PACKAGE], {forkserver.SOCKET_FD: theirs.fileno()})
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def start(self, state: State, lock: int, runner: str) -> int:
        """Have a supervisor forked; return its pid. Where this raises, none has begun, and none will.

        Raises
        ------
        OSError
            The process does not answer, or has ended.
        """
        with contextlib.ExitStack() as opened:
            errors = spawn.open_errors(state)
            opened.callback(os.close, errors)
            gate_read, gate = os.pipe()
            for each in (gate_read, gate):
                opened.callback(os.close, each)
            request = runner.encode() + b"\0" + os.fsencode(state.plan)
            socket.send_fds(self._socket, [request], [lock, errors, gate_read])
            pid = self._answer()
            os.write(gate, b"1")
            return pid

    def _answer(self) -> int:
        answer = self._socket.recv(64)
        if not answer.isdigit():
            raise ConnectionResetError("the process that starts supervisors has ended")
        return int(answer)

    def kill(self) -> None:
        """Kill it, where it does not answer: what it was sent and has not taken holds the lock of an execution."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it. It ends itself when nobody holds the other end of its socket; supervisors go on."""
        self._socket.close()
        # By a thread of its own, where it should be stuck: nobody has to wait for that.
        threading.Thread(target=self._reap, name="forkserver-end", daemon=True).start()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class Starter:
    """Starts supervisors. All methods block, and may be called from any thread.

    The process that forks is there from the first start until nobody uses this any more. It ends when this process
    does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self.server: Server | None = None

    def join(self, user: object) -> None:
        """Keep the process until ``user`` leaves."""
        with self._lock:
            self._users.add(user)

    def leave(self, user: object) -> None:
        """End the process, unless somebody else uses it."""
        with self._lock:
            self._users.discard(user)
            if not self._users:
                self._end()

    def start(self, state: State, lock: int, runner: str) -> int:
        """Start the supervisor of a prepared execution; return its pid.

        Parameters
        ----------
        state
            The execution's directory.
        lock
            Its lock, which the supervisor holds from its first instant.
        runner
            The module that runs the job; empty where it is a program.

        Raises
        ------
        OSError
            No process can be started.
        """
        with self._lock:
            try:
                self.server = self.server or Server()
                return self.server.start(state, lock, runner)
            except OSError:
                if self.server is not None:
                    self.server.kill()
                self._end()
        return spawn.spawn(state, lock)

    def _end(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.end()


SHARED = Starter()
"""That of this process: all its engines use the same."""

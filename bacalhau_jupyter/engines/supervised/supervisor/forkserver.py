"""Starts supervisors by forking: this process has loaded their code, and ends with the node that it belongs to.

A new Python that loads the same takes thirteen milliseconds of a processor. Run as ``python -I -S -c …`` by `starting`.
"""

from __future__ import annotations

import _socket
import gc
import os
import sys

from bacalhau_jupyter.engines.supervised.confinement import landlock, pinned, shm
from bacalhau_jupyter.engines.supervised.supervisor import (
    holding,
    image_root,
    process_tree,
    result_moves,
    supervisor,
)
from bacalhau_jupyter.engines.supervised.supervisor.limits import disk, group

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` itself imports enum: five milliseconds

SOCKET_FD = 3
"""Where the node put its socket; each message is a request, and is answered by a pid."""
MAX_REQUEST = 64 * 1024
LOADED = (disk, group, holding, image_root, landlock, pinned, process_tree, result_moves, shm)
"""What only some executions need; a supervisor imports it where it needs it, and finds it here."""

_HANDED_OVER = 3
_INT = 4


def main() -> None:
    """Answer the node until it closes the socket, or ends."""
    os.closerange(SOCKET_FD + 1, 4096)
    os.chdir("/")
    # Nobody here waits for a supervisor: the node watches them.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    node = _socket.socket(fileno=SOCKET_FD)
    gc.freeze()
    while True:
        request, ancillary, _, _ = node.recvmsg(MAX_REQUEST, _socket.CMSG_SPACE(_HANDED_OVER * _INT))
        if not request:
            os._exit(0)
        received = b"".join(data for _, kind, data in ancillary if kind == _socket.SCM_RIGHTS)
        files = [
            int.from_bytes(received[at : at + _INT], sys.byteorder) for at in range(0, len(received), _INT)
        ]
        runner, _, plan = os.fsdecode(request).partition("\0")
        _load(runner)
        pid = os.fork()
        if pid == 0:
            _become(plan, *files)
        for file in files:
            os.close(file)
        node.send(b"%d" % pid)


def _load(runner: str) -> None:
    """Load what runs jobs of this kind; a supervisor that can't load it says so itself."""
    if runner and runner not in sys.modules:
        try:
            __import__(runner)
        except Exception:
            return
        gc.freeze()


def _become(plan: str, lock: int, errors: int, gate: int) -> None:
    """Turn this process into a supervisor, when the node has heard of it; never returns."""
    os.setsid()
    os.dup2(errors, 2)
    if not os.read(gate, 1):
        os._exit(0)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    os.dup2(lock, supervisor.LOCK_FD)
    supervisor.supervise(plan)

"""Programs that end with this process, also where it is killed (Linux)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

# Becomes the program after the kernel promised to end it with the thread that started it: with the node, that is,
# also where the node is killed. The promise is no use if that has happened already.
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(sys.argv[2]), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


def tied(command: Sequence[str], ending: signal.Signals = signal.SIGKILL) -> list[str]:
    """Return the command that becomes this one and gets a signal at our end; its first word is a path."""
    own = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(ending))]
    return [*own, *command]

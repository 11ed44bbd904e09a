"""Whether an interrupt of a kernel is a person's, or the first half of the kernel's end.

Before a kernel is shut down or restarted (by a person, a culler, a server that ends) it gets the same signal as from
the stop button of a notebook, and then a message that says so, which another thread of the kernel reads. Jobs outlive
their kernel; only a person stops them.
"""

from __future__ import annotations

import sys
import time
from typing import Any

GRACE_S = 0.5
"""Seconds that the message may take after the signal; the two are sent one right after the other."""

_LOOK_S = 0.02


def kernel_ends(shell: Any, grace_s: float = GRACE_S) -> bool:
    """Wait for the message that a kernel ends; whether it came. False at once where the shell is no kernel's."""
    if getattr(shell, "kernel", None) is None:
        return False
    until = time.monotonic() + grace_s
    while not shell.exit_now:
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_S)
    return True


def own_shell() -> Any:
    """Return IPython's shell in this process; None in a script."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None

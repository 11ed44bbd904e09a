"""Whether a node supervises an execution: every node writes its pid and start time to a file."""

from __future__ import annotations

import errno
import os
import time

from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.engines.supervised.supervisor.plain import UNDATED, watch_holder

_NODE_STEP_S = 2.0
"""How often the node is looked at where the kernel has no pidfd."""


class Node:
    """Whether a node looks after the execution: a pidfd on the one whose name is in the node file, or its lock."""

    def __init__(self, path: str, grace_s: float) -> None:
        self._path = path
        self._grace_s = grace_s
        self.watch = -1
        self.look_again_at = 0.0
        self._gone_since = time.time()
        self.look()

    def gone(self) -> None:
        """Note that the node's process has ended: look again when its grace is over."""
        self._close()
        self._gone_since = time.time()
        self.look_again_at = time.monotonic() + self._grace_s

    def look(self) -> bool:
        """Look for a living node; False when there has been none for longer than the grace."""
        self._close()
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123
                pid, start = file.read().decode().split()
                named = os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError):
            pid, start, named = "0", "", 0.0
        if start and self._watch(int(pid), start):
            return True
        waited = time.time() - max(self._gone_since, named)
        self.look_again_at = time.monotonic() + max(0.05, self._grace_s - waited)
        return waited < self._grace_s

    def _watch(self, pid: int, start: str) -> bool:
        if start == UNDATED:
            self.watch, self.look_again_at = watch_holder(self._path), 0.0
            return self.watch >= 0
        try:
            self.watch = tree.pidfd_of(pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return False
            # No pidfd here: the only place that has to ask again and again.
            self.look_again_at = time.monotonic() + min(_NODE_STEP_S, max(self._grace_s / 4, 0.05))
            if tree.start_time(pid) == start:
                self._gone_since = time.time()
                return True
            return False
        if tree.start_time(pid) != start:
            self._close()
            return False
        self.look_again_at = 0.0
        return True

    def _close(self) -> None:
        if self.watch >= 0:
            os.close(self.watch)
            self.watch = -1

"""The audit log: lines go to a file, and to the node's own log. What it can't write stops nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor

from bacalhau_jupyter.auth.audit.entries import Entry, Outcome
from bacalhau_jupyter.auth.audit.files import AuditFile
from bacalhau_jupyter.auth.audit.repeats import Repeats
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.times import rfc3339

log = logging.getLogger(__name__)

WRITE_S = 5.0
"""Seconds for which an answer waits for its line: a disk that hangs does not hold up the node."""

_TASK = "writing the audit log"


class AuditLog:
    """Writes down who did what.

    Parameters
    ----------
    file
        Opened already.
    clock
        Tells when something was done.
    problems
        Where people see that lines are lost.
    """

    def __init__(self, file: AuditFile, clock: Clock, problems: Problems) -> None:
        self.clock = clock
        self._file = file
        self._problems = problems
        self._repeats = Repeats(clock)
        # One thread: lines keep their order.
        self._thread = ThreadPoolExecutor(1, "bacalhau-audit")
        self._lost = 0

    def repeated(self, *key: str) -> int | None:
        """Return how many lines like this one were left out before it; None where this one is left out, too."""
        return self._repeats.count(key)

    async def write(self, entry: Entry) -> None:
        """Write a line; returns once it is in the file, or after `WRITE_S`."""
        log.log(
            logging.INFO if entry.outcome is Outcome.DONE else logging.WARNING,
            "%s",
            entry,
            extra={"audit": entry.to_plain()},
        )
        try:
            writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, entry.to_line())
            await asyncio.wait([writing], timeout=WRITE_S)
        except RuntimeError as error:
            # The node stops, and this was its last request.
            log.warning("this line is not in the audit file: %s", error)

    def close(self) -> None:
        """Write what waits, and close the file; blocks."""
        self._thread.shutdown(wait=True)
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            if self._lost:
                self._file.write(self._gap())
                self._lost = 0
                self._problems.clear(_TASK)
            self._file.write(line)
        except OSError as error:
            self._lost += 1
            # Each further one would say the same.
            if self._lost == 1:
                self._problems.failed(_TASK, error)

    def _gap(self) -> bytes:
        gap = {"time": rfc3339(self.clock.now_ns()), "verb": "lose lines", "count": self._lost}
        return json.dumps(gap).encode() + b"\n"

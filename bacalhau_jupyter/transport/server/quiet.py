"""Log lines that strangers can cause: told, but not more often than somebody wants to read."""

from __future__ import annotations

import logging

from bacalhau_jupyter.lib.clock import SECOND, Clock

QUIET_S = 60
"""How long the same text is not told again."""
MOST = 20
"""Different texts that are told in that time; what exceeds them is counted."""


class QuietLog:
    """What was told of late.

    Parameters
    ----------
    log
        Where it goes.
    subject
        What the lines are about, for the line that counts the rest: ``refused connections``.
    """

    def __init__(self, log: logging.Logger, subject: str, clock: Clock) -> None:
        self._log = log
        self._subject = subject
        self._clock = clock
        self._begun_ns = clock.monotonic_ns()
        self._texts: set[str] = set()
        self._untold = 0

    def tell(self, level: int, text: str) -> None:
        """Log a text, unless it or many others were logged within the last minute; for debugging, always."""
        if not self._log.isEnabledFor(level):
            return
        if level < logging.INFO:
            self._log.log(level, "%s", text)
            return
        now = self._clock.monotonic_ns()
        if now - self._begun_ns >= QUIET_S * SECOND:
            if self._untold:
                self._log.log(level, "%d more lines about %s were left out", self._untold, self._subject)
            self._begun_ns, self._untold = now, 0
            self._texts.clear()
        if text in self._texts or len(self._texts) >= MOST:
            self._untold += 1
            return
        self._texts.add(text)
        self._log.log(level, "%s", text)

"""How long the thread that follows a container waits for an engine that does not answer."""

from __future__ import annotations

import threading

from bacalhau_jupyter.engines.docker.gate import Gate
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import NetworkFailure

RETRY_FIRST_S, RETRY_LONGEST_S = 0.2, 5.0
PATIENCE_S = 60.0
"""Seconds to wait for an engine that has gone, before the execution is given up."""


class Patience:
    """Waits between tries: some seconds while the way to the engine is there, for ever while it is not.

    Parameters
    ----------
    gate
        The way to the engine.
    stopped
        Ends every wait. Call ``gate.wake`` after setting it.

    Attributes
    ----------
    failed
        Whether the last try failed.
    """

    def __init__(self, gate: Gate, stopped: threading.Event) -> None:
        self._gate = gate
        self._stopped = stopped
        self.renew()

    def renew(self) -> None:
        """Begin anew: something got through."""
        self.failed = False
        self._waited_s, self._delays = 0.0, backoff(RETRY_FIRST_S, RETRY_LONGEST_S)

    def outlast(self, error: Exception) -> bool:
        """Wait until another try makes sense; False when stopped meanwhile.

        Raises
        ------
        NetworkFailure
            The engine has not answered for `PATIENCE_S`, though the way to it is there.
        """
        self.failed = True
        self._gate.broke(error)
        delay_s = next(self._delays)
        if self._waited_s + delay_s > PATIENCE_S and self._gate.is_open:
            raise _gone(error) from error
        if self._stopped.wait(delay_s):
            return False
        if self._gate.is_open:
            self._waited_s += delay_s
            return True
        # The work goes on where the engine is. Time limits and cancellations still hold: they come from elsewhere.
        self._gate.wait(self._stopped.is_set)
        self.renew()
        return not self._stopped.is_set()

    def pause(self) -> bool:
        """Wait a little before the next call to an engine that answers; False when stopped meanwhile."""
        self.failed, self._waited_s = False, 0.0
        return not self._stopped.wait(next(self._delays))


def _gone(error: Exception) -> NetworkFailure:
    return NetworkFailure(
        f"the Docker Engine has not answered for {PATIENCE_S:.0f} s: {error}",
        hint="Check that Docker is running (`docker info`).",
        retryable=True,
        fails_execution=True,
    )

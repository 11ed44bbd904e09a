"""Why a NATS server does not start, by the last line that it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, Conflict, ServiceUnavailable

_PORT_TAKEN = re.compile(r"address already in use", re.IGNORECASE)
_NO_ADDRESS = re.compile(r"assign requested address|no such host|lookup ", re.IGNORECASE)
_NO_RIGHT = re.compile(r"permission denied", re.IGNORECASE)


def start_problem(host: str, port: int, troubles: Sequence[str]) -> BacalhauError:
    """Return the error of a server that ended instead of listening.

    Parameters
    ----------
    troubles
        Its last lines about errors.
    """
    text = troubles[-1] if troubles else "it says no reason"
    if _PORT_TAKEN.search(text):
        return Conflict(
            f"Another program uses port {port} of {host}, where nodes are to reach this orchestrator",
            hint="Set Orchestrator.Port to a free one, or to 0 for any.",
        )
    if _NO_ADDRESS.search(text):
        return ConfigurationError(f"Orchestrator.Host is {host}, which is no address of this machine")
    if _NO_RIGHT.search(text):
        return ConfigurationError(
            f"Orchestrator.Port is {port}, which this user may not use", hint="Choose one above 1023."
        )
    return ServiceUnavailable(f"nats-server does not start: {text}")

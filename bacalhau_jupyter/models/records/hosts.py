"""Docker hosts elsewhere, each a compute node of this one: what a node tells of them."""

from __future__ import annotations

import enum

FEATURE = "hosts"
"""With this feature the owner of a node can let Docker Engines of other machines run its jobs."""

PATH = "/api/v1/hosts"


class HostState(enum.Enum):
    """How the way to a Docker host is.

    ``REFUSED`` needs a person (a key, a right, a certificate); ``UNREACHABLE`` passes by itself. Jobs are kept in both.
    """

    CONNECTING = "Connecting"
    READY = "Ready"
    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"
    PAUSED = "Paused"
    REMOVING = "Removing"

    @classmethod
    def _missing_(cls, value: object) -> HostState:
        text = str(value).lower()
        return next((member for member in cls if member.value.lower() == text), cls.CONNECTING)

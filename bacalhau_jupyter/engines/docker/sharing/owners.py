"""Labels that say whose a container or volume is, for people who share an engine."""

from __future__ import annotations

import getpass
import os
import socket
import time

from bacalhau_jupyter.lib.times import rfc3339

LABEL_OWNER = "bacalhau-owner"
LABEL_CREATED = "bacalhau-created"


def owner_labels() -> dict[str, str]:
    """Return who makes something on an engine, and when, as labels."""
    return {LABEL_OWNER: owner(), LABEL_CREATED: rfc3339(time.time_ns())}


def owner() -> str:
    """Return this user and machine, such as ``ann@laptop``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # No entry in the password database, as in many containers.
        user = str(os.geteuid()) if hasattr(os, "geteuid") else "?"
    return f"{user}@{socket.gethostname()}"

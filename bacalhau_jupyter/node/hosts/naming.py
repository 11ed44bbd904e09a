"""What people call a Docker host: a word that is a label of its node and a part of the node's ID; pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.hosts import HOST_NAME

COMPONENT = "Hosts"
NAME_LIMIT = 40

_USUAL = ("run", "var", "user", "sock", "docker", "home")
"""Parts of a socket's path that tell nothing."""


def check_name(name: str) -> None:
    """Refuse what can't be the name of a host.

    Raises
    ------
    BadRequest
        It can't.
    """
    if not HOST_NAME.fullmatch(name):
        raise BadRequest(
            f"{shown(name[:80])!r} can't be the name of a host",
            hint=f"up to {NAME_LIMIT} small letters, digits, - and _, such as gpu1: it is a label of its node",
            component=COMPONENT,
        )


def suggested_name(url: str, context: str = "") -> str:
    """Return what a host may be called: after its Docker context, its socket, or the first word of its machine."""
    if context:
        return _word(context)
    if url.startswith(("unix://", "/")):
        words = [word for word in re.split(r"[^a-z0-9]+", url.removeprefix("unix://").lower()) if word]
        return _word(next((word for word in reversed(words) if word not in _USUAL), "docker"))
    machine = (urlsplit(url if "://" in url else f"ssh://{url}").hostname or "").rstrip(".")
    is_number = bool(re.fullmatch(r"[0-9.]+", machine)) or ":" in machine
    return _word(machine if is_number else machine.partition(".")[0])


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LIMIT].strip("-") or "host"

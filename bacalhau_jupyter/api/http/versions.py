"""The gate for clients that are too old."""

from __future__ import annotations

import re

from bacalhau_jupyter.models.records.node import BuildVersionInfo

MINIMUM_CLIENT = (1, 4, 0)

_SEMVER = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")


def refusal(client: str, server: BuildVersionInfo) -> tuple[int, dict[str, str]] | None:
    """Return status and body for a client version that is refused, or None.

    Development builds call themselves ``v0.0.0`` and pass.
    """
    if not client or client.startswith("v0.0.0"):
        return None
    match = _SEMVER.fullmatch(client)
    if match is None:
        return 400, {"Error": f"Invalid client version {client[:64]}"}
    release = (int(match[1]), int(match[2] or 0), int(match[3] or 0))
    # A pre-release sorts before its release.
    if release > MINIMUM_CLIENT or (release == MINIMUM_CLIENT and not match[4]):
        return None
    return 403, {
        "Error": "Client version is outdated. Update your client",
        "MinVersion": ".".join(map(str, MINIMUM_CLIENT)),
        "ClientVersion": client,
        "ServerVersion": server.git_version,
    }

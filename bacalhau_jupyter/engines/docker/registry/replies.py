"""What an engine says while it pulls an image, and when it can't."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import engine_error
from bacalhau_jupyter.engines.registries.names import image_invalid, registry_of
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import Bid

NOT_FOUND = "ImageNotFound"
"""Code of the error of an image that can't be had."""
_FOREIGN_ANSWER = re.compile(r"error parsing HTTP (\d+) response body: .*", re.DOTALL)


class PullProgress:
    """Adds up the downloads of an image's layers; neither figure ever falls."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        """Count one event of the engine."""
        layer, detail = str(event.get("id", "")), event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self._total[layer] = int(detail["total"])
            self._done[layer] = max(self._done.get(layer, 0), int(detail.get("current", 0)))
        elif event.get("status") in ("Download complete", "Pull complete") and layer in self._total:
            self._done[layer] = self._total[layer]

    @property
    def done(self) -> int:
        """Bytes downloaded."""
        return sum(self._done.values())

    @property
    def total(self) -> int:
        """Bytes of what is being downloaded, as far as it is known."""
        return sum(self._total.values())


def wrong_platform(platforms: Sequence[str], own: str) -> Bid:
    """Refuse an image that exists for other platforms only."""
    return Bid(
        accepted=False,
        reason=f"this node does not support the available image platforms [{' '.join(platforms)}] (supports [{own}])",
    )


def not_available(image: str, reason: str, place: str = "") -> EngineError:
    """Say that an image can be had neither here nor from its registry; ``reason`` is the engine's sentence.

    ``place`` is the Docker host whose engine it is, such as "host gpu1"; empty for an engine of this machine.

    An image may name any server that the engine reaches, those of this machine included: what one that is no registry
    answers is not for the job's author, and the engine quotes it.
    """
    reason = _FOREIGN_ANSWER.sub(r"HTTP \1 from a server that is not a registry", reason)
    if "invalid reference format" in reason or "invalid repository name" in reason:
        return image_invalid(image)
    unreachable = any(
        word in reason for word in ("dial tcp", "no such host", "timeout", "Client.Timeout", "TLS")
    )
    if unreachable:
        ways_out = (
            f"Use an image that is on {place} or on its node's machine (it is copied), or check the network there."
            if place
            else "Use an image that is already here (`docker images`), or check the network."
        )
        hint = f"The registry can't be reached from {place or 'this node'} ({reason}). {ways_out}"
    elif any(word in reason for word in ("denied", "unauthorized", "no basic auth")):
        hint = (
            f"The registry does not know it, or wants a login: `docker login {registry_of(image)}` as the user of the "
            f"node, or DOCKER_USERNAME and DOCKER_PASSWORD for Docker Hub ({reason})."
        )
    else:
        hint = f"Check the name and tag, and that {place or 'this node'} may read it ({reason})."
    return engine_error(
        f'image not available: "{image}"',
        hint=hint,
        code=NOT_FOUND,
        details={"Image": image},
        retryable=unreachable,
    )

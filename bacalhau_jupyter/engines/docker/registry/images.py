"""Images: whether this node can run one, and bringing one here.

A local image whose platform fits is enough, with or without a registry digest; only otherwise is the
registry asked, first for the platforms (at bid time), then for the image. Everything blocks.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain
from bacalhau_jupyter.engines.docker.output.streams import Stream
from bacalhau_jupyter.engines.docker.params import image_invalid
from bacalhau_jupyter.engines.docker.registry.credentials import HUB, Credentials
from bacalhau_jupyter.engines.docker.registry.pulls import Abort, Pull, Pulls
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import ACCEPTED, Bid, Progress

PLATFORMS_KEPT = 1000
PLATFORMS_FRESH_S = 3600.0
PULLING = "pulling image"
_NO_PULLS = "pulls no images (SKIP_IMAGE_PULL is set)"


class Images:
    """What one engine knows about images; safe to use from several threads.

    Parameters
    ----------
    credentials
        How to log in at registries.
    kept
        How many images' platforms, as registries tell them, are kept.
    fresh_s
        For how many seconds they are believed.
    pulls
        Whether images may be brought here at all (``SKIP_IMAGE_PULL`` says that they may not).
    """

    def __init__(
        self,
        daemon: Daemon,
        clock: Clock,
        credentials: Credentials,
        kept: int = PLATFORMS_KEPT,
        fresh_s: float = PLATFORMS_FRESH_S,
        *,
        pulls: bool = True,
    ) -> None:
        self._may_pull = pulls
        self._kept = kept
        self._fresh_s = fresh_s
        self._daemon = daemon
        self._clock = clock
        self._credentials = credentials
        self._lock = threading.Lock()
        self._pulls = Pulls()
        self._platforms: dict[str, tuple[int, list[str]]] = {}
        self._wrong_here: set[str] = set()

    def fits_here(self, image: str) -> bool:
        """Whether a copy that lies here runs on this engine's platform; asks no registry.

        Raises
        ------
        EngineError
            ``ImageInvalid``.
        """
        return self._local_platform(image) == self._daemon.platform

    def bid(self, image: str) -> Bid:
        """Say whether the image runs on this engine's platform.

        Raises
        ------
        EngineError
            ``ImageNotFound`` or ``ImageInvalid``.
        """
        mine = self._daemon.platform
        local = self._local_platform(image)
        if local == mine:
            return ACCEPTED
        if not self._may_pull and local is None:
            return Bid(accepted=False, reason=f"this node does not have the image {image} and {_NO_PULLS}")
        try:
            platforms = [local] if local and not self._may_pull else self._registry_platforms(image)
        except EngineError:
            if local is None:
                raise
            platforms = [local]
        if mine in platforms:
            if local is not None:
                # The tag has our platform, the copy that lies here does not.
                self._wrong_here.add(image)
            return ACCEPTED
        return Bid(
            accepted=False,
            reason=f"this node does not support the available image platforms [{' '.join(platforms)}] "
            f"(supports [{mine}])",
        )

    def must_pull(self, image: str) -> bool:
        """Whether the local copy must not be used."""
        return image in self._wrong_here

    def pull(self, image: str, progress: Progress, abort: Abort) -> None:
        """Bring the image here, reporting bytes downloaded of bytes known.

        Raises
        ------
        EngineError
            ``ImageNotFound``, with the registry's words in the hint; ``RequestCancelled`` when aborted.
        """
        if not self._may_pull:
            raise engine_error(
                f'image not available: "{image}"',
                hint=f"This node {_NO_PULLS}: bring the image there with `docker pull`.",
                code="ImageNotFound",
                details={"Image": image},
            )
        self._pulls.pull(image, lambda pull: self._pull(image, pull), PULLING, progress, abort)
        self._wrong_here.discard(image)

    def _pull(self, image: str, pull: Pull) -> None:
        from docker.errors import APIError

        name, tag = _split(image)
        layers = _Layers()
        try:
            with self._daemon.stream(
                "POST",
                "/images/create",
                {"fromImage": name, "tag": tag},
                {"X-Registry-Auth": self._credentials.header(_registry(name))},
            ) as stream:
                pull.attach(stream)
                for event in _events(stream):
                    if "error" in event:
                        raise _not_available(image, str(event["error"]))
                    layers.note(event)
                    if layers.total:
                        pull.report(layers.done, layers.total)
        except APIError as error:
            raise _not_available(image, explain(error)) from error

    def _local_platform(self, image: str) -> str | None:
        from docker.errors import APIError, NotFound

        try:
            inspection: dict[str, Any] = self._daemon.api.inspect_image(image)
        except NotFound:
            return None
        except APIError as error:
            if "invalid reference format" in explain(error):
                raise image_invalid(image) from error
            raise
        return f"{inspection.get('Os', '')}/{inspection.get('Architecture', '')}"

    def _registry_platforms(self, image: str) -> list[str]:
        from docker.errors import APIError

        now = self._clock.monotonic_ns()
        with self._lock:
            stamp, platforms = self._platforms.get(image, (0, []))
        if platforms and now - stamp < self._fresh_s * SECOND:
            return platforms
        try:
            distribution = self._daemon.api.inspect_distribution(image, auth_config=self._login(image))
        except APIError as error:
            raise _not_available(image, explain(error)) from error
        platforms = [
            f"{item.get('os', '')}/{item.get('architecture', '')}"
            for item in distribution.get("Platforms") or []
            if item.get("os") not in ("", "unknown", None)
        ]
        with self._lock:
            if self._kept <= 0:
                return platforms
            while len(self._platforms) >= self._kept and self._platforms:
                self._platforms.pop(next(iter(self._platforms)))
            self._platforms[image] = (now, platforms)
        return platforms

    def _login(self, image: str) -> dict[str, str]:
        return self._credentials.login(_registry(image))


def _registry(image: str) -> str:
    """Return the host of an image's registry."""
    host, slash, _ = image.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    return HUB if not named or host == f"index.{HUB}" else host


class _Layers:
    """Adds up the downloads of an image's layers; neither figure ever falls."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        layer, detail = str(event.get("id", "")), event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self._total[layer] = int(detail["total"])
            self._done[layer] = max(self._done.get(layer, 0), int(detail.get("current", 0)))
        elif event.get("status") in ("Download complete", "Pull complete") and layer in self._total:
            self._done[layer] = self._total[layer]

    @property
    def done(self) -> int:
        return sum(self._done.values())

    @property
    def total(self) -> int:
        return sum(self._total.values())


def _split(image: str) -> tuple[str, str]:
    """Split into what ``/images/create`` wants: a name, and a tag or digest."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return image, "latest"


def _events(stream: Stream) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in stream.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)


_FOREIGN_ANSWER = re.compile(r"error parsing HTTP (\d+) response body: .*", re.DOTALL)


def _not_available(image: str, reason: str) -> EngineError:
    """Say that an image can be had neither here nor from its registry; ``reason`` is the engine's sentence.

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
        hint = (
            f"The registry can't be reached from this node ({reason}). Use an image that is already here "
            "(`docker images`), or check the network."
        )
    elif any(word in reason for word in ("denied", "unauthorized", "no basic auth")):
        hint = (
            f"The registry does not know it, or wants a login: `docker login {_registry(image)}` as the user of the "
            f"node, or DOCKER_USERNAME and DOCKER_PASSWORD for Docker Hub ({reason})."
        )
    else:
        hint = f"Check the name and tag, and that this node may read it ({reason})."
    return engine_error(
        f'image not available: "{image}"',
        hint=hint,
        code="ImageNotFound",
        details={"Image": image},
        retryable=unreachable,
    )

"""Images: whether this node can run one, and bringing one here.

A local image whose platform fits is enough, with or without a registry digest; only otherwise is the
registry asked, first for the platforms (at bid time), then for the image. Everything blocks.
"""

from __future__ import annotations

import threading
from typing import Any

from bacalhau_jupyter.engines.docker.carrying.choice import NearImages
from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain
from bacalhau_jupyter.engines.docker.output.streams import json_lines
from bacalhau_jupyter.engines.docker.registry.pulls import Abort, Pull, Pulls
from bacalhau_jupyter.engines.docker.registry.replies import (
    NOT_FOUND,
    PullProgress,
    not_available,
    wrong_platform,
)
from bacalhau_jupyter.engines.registries.credentials import Credentials
from bacalhau_jupyter.engines.registries.names import image_invalid, registry_of, split
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import ACCEPTED, Bid, Progress, Reading, no_progress

PLATFORMS_KEPT = 1000
PLATFORMS_FRESH_S = 3600.0
PULLING = "pulling image"
LOOKING = "looking up the image"
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
        Whether images may be had from registries at all (``SKIP_IMAGE_PULL`` says that they may not).
    near
        The images of this machine, where the engine is on another one.
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
        near: NearImages | None = None,
    ) -> None:
        self._near = near
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
        return self._local_platform(self.reference(image)) == self._daemon.platform

    def reference(self, image: str) -> str:
        """Return what to call the image: its ID, where a name may mean another one there than here."""
        built = None if self._near is None else self._near.built(image)
        return image if self._near is None or built is None else self._near.reference(image, built)

    def bid(self, image: str, progress: Progress = no_progress) -> Bid:
        """Say whether the image runs on this engine's platform; reports when a registry is asked.

        Raises
        ------
        EngineError
            ``ImageNotFound`` or ``ImageInvalid``.
        """
        if self._near is not None and (built := self._near.built(image)) is not None:
            return self._near.bid(image, built)
        mine = self._daemon.platform
        local = self._local_platform(image)
        if local == mine:
            return ACCEPTED
        if local is None and not self._may_pull and (bid := self._copy_bid(image)) is not None:
            return bid
        if not self._may_pull and local is None:
            return Bid(accepted=False, reason=f"this node does not have the image {image} and {_NO_PULLS}")
        try:
            platforms = [local] if local and not self._may_pull else self._registry_platforms(image, progress)
        except EngineError:
            if local is None and (bid := self._copy_bid(image)) is not None:
                return bid
            if local is None:
                raise
            platforms = [local]
        if mine in platforms:
            if local is not None:
                # The tag has our platform, the copy that lies here does not.
                self._wrong_here.add(image)
            return ACCEPTED
        return wrong_platform(platforms, mine)

    def must_pull(self, image: str) -> bool:
        """Whether the local copy must not be used."""
        return image in self._wrong_here

    def bring(self, image: str, progress: Progress, abort: Abort) -> str:
        """Bring the image to the engine from a registry, or from this machine's one; return what to call it.

        Raises
        ------
        EngineError, IOFailure
            As `pull`; it can't be copied.
        """
        near = self._near
        copied = None if near is None else near.built(image)
        if near is None or copied is None:
            try:
                self.pull(image, progress, abort)
            except EngineError as error:
                copied = None if near is None or error.code != NOT_FOUND else near.find(image)
                if near is None or copied is None:
                    raise
            else:
                return image
        near.bring(image, copied, progress, abort)
        return near.reference(image, copied)

    def push(self, image: str, progress: Progress, abort: Abort) -> int:
        """Copy an image of this machine to the engine, because a person says so; return the bytes sent.

        Raises
        ------
        BacalhauError
            There is no such image, the engine is this machine's own, or the copy fails.
        """
        if self._near is None:
            raise engine_error(f'the image "{image}" can only be copied to a Docker Engine elsewhere')
        return self._near.push(image, progress, abort)

    def pull(self, image: str, progress: Progress, abort: Abort) -> None:
        """Bring the image here, reporting bytes downloaded of bytes known.

        Raises
        ------
        EngineError
            ``ImageNotFound``, with the registry's words in the hint; ``RequestCancelled`` when aborted.
        """
        if not self._may_pull:
            who = self._daemon.place or "this node"
            raise engine_error(
                f'image not available: "{image}"',
                hint=f"{who[0].upper()}{who[1:]} {_NO_PULLS}: bring the image there with `docker pull`.",
                code=NOT_FOUND,
                details={"Image": image},
            )
        self._pulls.pull(image, lambda pull: self._pull(image, pull), PULLING, progress, abort)
        self._wrong_here.discard(image)

    def _copy_bid(self, image: str) -> Bid | None:
        near = self._near
        if near is None or (image_here := near.find(image)) is None:
            return None
        return near.bid(image, image_here)

    def _pull(self, image: str, pull: Pull) -> None:
        from docker.errors import APIError

        name, tag = split(image)
        layers = PullProgress()
        try:
            with self._daemon.stream(
                "POST",
                "/images/create",
                {"fromImage": name, "tag": tag},
                {"X-Registry-Auth": self._credentials.header(registry_of(name))},
            ) as stream:
                pull.attach(stream)
                for event in json_lines(stream):
                    if "error" in event:
                        raise not_available(image, str(event["error"]), self._daemon.place)
                    layers.note(event)
                    if layers.total:
                        pull.report(layers.done, layers.total)
        except APIError as error:
            raise not_available(image, explain(error), self._daemon.place) from error

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

    def _registry_platforms(self, image: str, progress: Progress) -> list[str]:
        from docker.errors import APIError

        now = self._clock.monotonic_ns()
        with self._lock:
            stamp, platforms = self._platforms.get(image, (0, []))
        if platforms and now - stamp < self._fresh_s * SECOND:
            return platforms
        progress(Reading(f"{LOOKING} at {registry_of(image)}"))
        try:
            distribution = self._daemon.api.inspect_distribution(image, auth_config=self._login(image))
        except APIError as error:
            raise not_available(image, explain(error), self._daemon.place) from error
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
        return self._credentials.login(registry_of(image))

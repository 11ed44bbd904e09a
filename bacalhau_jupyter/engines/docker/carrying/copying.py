"""Copies an image from the Docker Engine of this machine to one elsewhere: the layers that are missing there only.

The save of the one is the load of the other; in between it is never kept. What the other engine has loaded is compared
with what was sent. Everything here blocks.
"""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bacalhau_jupyter.engines.docker.carrying.near import NearEngine
from bacalhau_jupyter.engines.docker.carrying.plan import CopyPlan, Image, layer_sizes, plan_copy
from bacalhau_jupyter.engines.docker.carrying.saved import Thinner
from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain
from bacalhau_jupyter.engines.docker.files.cargo import joined
from bacalhau_jupyter.engines.docker.output.streams import Stream, json_lines
from bacalhau_jupyter.engines.docker.registry.pulls import Pull
from bacalhau_jupyter.engines.registries.names import split
from bacalhau_jupyter.models.errors import EngineError, IOFailure

PHASE = "copying image"
ASKED_AT_ONCE = 8
"""Images of the other engine that are looked at together."""


class ImageCopier:
    """Copies images between two engines; safe to use from several threads.

    Parameters
    ----------
    near, far
        From where, and to where.

    Attributes
    ----------
    near
        From where.
    """

    def __init__(self, near: NearEngine, far: Daemon) -> None:
        self.near = near
        self._far = far
        self._lock = threading.Lock()
        self._layers: dict[str, tuple[str, ...]] = {}
        self._same_ids: bool | None = None

    def find(self, name: str) -> Image | None:
        """Return the image of this machine; None where it has none."""
        return self.near.find(name)

    def there(self, name: str) -> Image | None:
        """Return an image of the other engine; None where it has none."""
        from docker.errors import NotFound

        try:
            return Image.of(self._far.api.inspect_image(name))
        except NotFound:
            return None

    def same_ids(self) -> bool:
        """Whether an image has the same ID on both engines."""
        # With containerd's store it is the digest of another document.
        if self._same_ids is None:
            near = self.near.daemon()
            self._same_ids = near is not None and not any(map(_has_containerd_store, (near, self._far)))
        return self._same_ids

    def plan(self, image: Image, *, whole: bool = False) -> CopyPlan:
        """Say what would be sent.

        Parameters
        ----------
        whole
            Whether all of it is sent.
        """
        from docker.errors import APIError

        near = self.near.daemon()
        try:
            history: list[dict[str, Any]] = [] if near is None else near.api.history(image.id)
        except APIError:
            history = []
        whole = whole or not self.same_ids()
        there = () if whole else self._layers_there()
        return plan_copy(image, there, layer_sizes(image, history), whole=whole)

    def copy(self, name: str, image: Image, pull: Pull, *, replace: bool) -> int:
        """Bring an image to the other engine, and name it there; return the bytes sent.

        Parameters
        ----------
        pull
            Is told how far it is, and may end it.
        replace
            Whether a name that another image has there is taken from it.

        Raises
        ------
        BacalhauError
            It is for another platform, the disk there is full, or an engine does not answer.
        """
        runs = self._far.platform
        if image.platform != runs:
            raise engine_error(
                f'the image "{name}" is for {image.platform}, and {self._far.endpoint.engine} runs {runs}',
                hint=f"Build it for both: `docker buildx build --platform {runs} …`.",
                code="ImageInvalid",
                details={"Image": name},
            )
        sent = 0
        if self.there(image.id) is None or not self.same_ids():
            plan = self.plan(image)
            try:
                sent = self._send(name, image, plan, pull)
            except EngineError as error:
                # Somebody may have removed an image there whose layers were left out.
                if not plan.left_out or "no such file" not in error.message:
                    raise
                sent = self._send(name, image, self.plan(image, whole=True), pull)
            self._check(name, image)
        self._name(name, image, replace=replace)
        return sent

    def _send(self, name: str, image: Image, plan: CopyPlan, pull: Pull) -> int:
        near = self.near.daemon()
        if near is None:
            raise _near_failed(name)
        sent, total = 0, plan.size

        def on_left_out(size: int) -> None:
            nonlocal total
            if not plan.is_exact:
                total -= size

        def counted(blocks: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal sent
            for block in blocks:
                yield block
                sent += len(block)
                # The tar has a little more than the layers.
                pull.report(sent, max(sent, total), thinner.passed, len(image.layers))

        pull.report(0, total, 0, len(image.layers))
        reference = image.id if self.same_ids() else name
        with self._saved(near, name, reference) as stream:
            pull.attach(stream)
            thinner = Thinner(image.layers, plan.left_out, on_left_out)
            blocks = joined(_from_near(name, thinner.blocks(stream.chunks())))
            self._load(name, counted(blocks))
        pull.report(sent, sent)
        return sent

    def _saved(self, near: Daemon, name: str, reference: str) -> Stream:
        import requests
        from docker.errors import APIError

        try:
            return near.stream("GET", f"/images/{reference}/get", {})
        except (APIError, requests.RequestException) as error:
            raise _near_failed(name) from error

    def _load(self, name: str, blocks: Iterator[bytes]) -> None:
        from docker.errors import APIError

        try:
            with self._far.stream("POST", "/images/load", {"quiet": 1}, _TAR, body=blocks) as answer:
                for event in json_lines(answer):
                    if "error" in event:
                        raise self._refused(name, str(event["error"]))
        except APIError as error:
            raise self._refused(name, explain(error)) from error

    def _refused(self, name: str, words: str) -> Exception:
        if "no space left" in words:
            return IOFailure(
                f'the image "{name}" could not be copied: the disk of {self._far.endpoint.engine} is full',
                hint="Free space there: `docker system df` shows what takes it.",
                retryable=True,
                fails_execution=True,
            )
        return engine_error(f'the image "{name}" could not be copied to {self._far.endpoint.engine}: {words}')

    def _check(self, name: str, image: Image) -> None:
        """Make sure that what was loaded is what was sent."""
        loaded = self.there(image.id if self.same_ids() else name)
        if loaded is None or (loaded.layers, loaded.platform) != (image.layers, image.platform):
            raise engine_error(f'the image "{name}" did not arrive as it was sent', retryable=True)

    def _name(self, name: str, image: Image, *, replace: bool) -> None:
        if not self.same_ids() or "@" in name or _is_id(name, image):
            return
        if (named := self.there(name)) is None or (replace and named.id != image.id):
            repository, tag = split(name)
            self._far.api.tag(image.id, repository, tag)

    def _layers_there(self) -> Iterable[tuple[str, ...]]:
        """Return the layers of all images of the other engine; each is looked at once."""
        ids = {str(item["Id"]) for item in self._far.api.images()}
        with self._lock:
            self._layers = {key: layers for key, layers in self._layers.items() if key in ids}
            unknown = [key for key in ids if key not in self._layers]
            with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="docker-images") as pool:
                for key, image in zip(unknown, pool.map(self.there, unknown), strict=True):
                    if image is not None:
                        self._layers[key] = image.layers
            return tuple(self._layers.values())


_TAR: Mapping[str, str] = {"Content-Type": "application/x-tar"}


def _has_containerd_store(daemon: Daemon) -> bool:
    status = daemon.api.info().get("DriverStatus") or []
    return any("io.containerd.snapshotter" in str(value) for _, value in status)


def _is_id(name: str, image: Image) -> bool:
    return image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))


def _from_near(name: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Name what fails at this end: the other one would be blamed."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield from blocks
    except (tarfile.TarError, requests.RequestException, HTTPError, OSError) as error:
        raise _near_failed(name) from error


def _near_failed(name: str) -> EngineError:
    return engine_error(
        f'the Docker Engine of this machine does not give the image "{name}" out',
        hint=f"Try `docker save {name} | wc -c`.",
        retryable=True,
    )

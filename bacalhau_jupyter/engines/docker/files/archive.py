"""Files of one execution on the disk of an engine that does not see ours.

Each input and each result directory is a separate volume, mounted where a bind mount would be: read-only inputs stay
read-only. What may not be written in the task's container is filled through a second one, the carrier, which has
all the volumes, writable, and is never started: the engine copies into and out of created containers, too, and needs
no program in the image for it. The carrier stays until the execution is cleaned up; it also keeps the volumes from
being pruned. On a Docker host, inputs worth it get volumes that stay for later executions (`kept`), which the carrier
has read-only once they are filled. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain
from bacalhau_jupyter.engines.docker.files import cargo
from bacalhau_jupyter.engines.docker.files.fetching import fetch_tree, place_results
from bacalhau_jupyter.engines.docker.files.kept import InputsLost, KeptInputs, Volume
from bacalhau_jupyter.engines.docker.files.placement import bind
from bacalhau_jupyter.engines.docker.files.reuse import Reuse, StayingVolume
from bacalhau_jupyter.engines.docker.params import (
    COMPONENT,
    LABEL_EXECUTION,
    LABEL_NODE,
    container_name,
    execution_label,
)
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, Progress
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.inputs import open_input
from bacalhau_jupyter.plugins.rates import with_rate
from bacalhau_jupyter.transfer.core.files import io_failure

PHASE_OUT = "copying results"
_FULL = "the disk of the Docker Engine is full"
LABEL_PLACE = "bacalhau-files"
_FILE = "data"
_TRIES = 3
"""How often inputs are sent whose volumes another program removes meanwhile."""


class Archive:
    """The volumes and the carrier of one execution.

    Parameters
    ----------
    kept
        Inputs that stay on the engine; None keeps none.
    """

    def __init__(self, daemon: Daemon, request: RunRequest, kept: KeptInputs | None = None) -> None:
        self._daemon = daemon
        self._kept = kept
        self._request = request
        self._name = container_name(request.node_id, request.execution)
        self._labels = {
            LABEL_NODE: request.node_id,
            LABEL_EXECUTION: execution_label(request.node_id, request.execution.id),
        }
        # Nobody can know it beforehand: an image with links there would lead one input into another one's volume.
        self._place = f"bacalhau-{secrets.token_hex(16)}"
        self._marks = self._labels | owner_labels()

    def use(self, request: RunRequest) -> None:
        """Copy the inputs of this request, which is the same one with its inputs checked."""
        self._request = request

    def load(self, image: str, progress: Progress, abort: Abort) -> list[dict[str, Any]]:
        """Copy the inputs to the engine; return the mounts of the task's container.

        Raises
        ------
        docker.errors.NotFound
            The image is not here.
        BacalhauError
            An input can't be read, the engine's disk is full, or it is no longer wanted. Volumes may be left.
        """
        try:
            return self._load_whole(image, with_rate(progress), abort)
        except IOFailure as error:
            if self._kept is None or _FULL not in error.message or not self._kept.clear().count:
                raise
        # What was kept for later has made room.
        return self._load_whole(image, with_rate(progress), abort)

    def _load_whole(self, image: str, progress: Progress, abort: Abort) -> list[dict[str, Any]]:
        for _ in range(_TRIES):
            try:
                return self._load(image, progress, abort)
            except InputsLost as lost:
                self._daemon.remove(self._carrier)
                if self._kept is not None:
                    self._kept.discard(lost.names)
        raise engine_error(
            "volumes of the inputs are removed again and again by another program",
            hint="Leave volumes whose name starts with `bacalhau-` to the node.",
            retryable=True,
        )

    def _load(self, image: str, progress: Progress, abort: Abort) -> list[dict[str, Any]]:
        # What an interrupted try left is not trusted to be whole.
        self._daemon.remove(self._carrier)
        # Decided once: what was copied as a directory is mounted as one, whatever lies at its path meanwhile.
        trees = [_is_directory(mount) for mount in self._request.inputs]
        items = {
            f"in/{number}": cargo.Item(
                mount, f"{self._place}/in/{number}" + ("" if trees[number] else f"/{_FILE}")
            )
            for number, mount in enumerate(self._request.inputs)
        }
        if self._kept is None:
            return self._mounts(self._send(image, items, {}, progress, abort), trees)
        with Reuse(self._kept, items, progress, abort) as reuse:
            places = self._send(image, items, reuse.volumes, progress, abort, reuse)
        return self._mounts(places, trees)

    def _send(
        self,
        image: str,
        items: Mapping[str, cargo.Item],
        shared: Mapping[str, StayingVolume],
        progress: Progress,
        abort: Abort,
        reuse: Reuse | None = None,
    ) -> dict[str, Volume]:
        """Fill volumes, those excepted that are filled already; return each one by its place."""
        volumes = {
            place: shared[place].volume if place in shared else self._fresh_volume(place)
            for place in self._places()
        }
        filled = {place for place, volume in shared.items() if volume.is_filled}
        carrier = self._make_carrier(
            image,
            [_mount(volumes[place].name, f"/{self._place}/{place}", place in filled) for place in volumes],
        )
        if reuse is not None:
            # From here on the carrier holds them.
            reuse.verify()
        folders = [
            cargo.Folder(f"{self._place}/out/{number}", 0o777)
            for number, _ in enumerate(self._request.outputs)
        ]
        sent = {place: item for place, item in items.items() if place not in filled}
        folders += [
            cargo.Folder(f"{self._place}/{place}", 0o755)
            for place, item in sent.items()
            if item.name != f"{self._place}/{place}"
        ]
        digests: dict[str, str] | None = None if reuse is None else {}
        if folders or sent:
            # An upload that fails leaves the stream half read: closed, it gives up its files and its thread at once.
            stream = cargo.stream(folders, list(sent.values()), progress, abort.check, digests)
            with contextlib.closing(stream) as blocks:
                self._upload(carrier, blocks)
        if reuse is not None and digests is not None:
            reuse.arrived({place: digests[item.name] for place, item in sent.items()})
        return volumes

    def unload(self, image: str, progress: Progress, stop: threading.Event) -> None:
        """Copy the results here; each result directory is replaced as a whole.

        Parameters
        ----------
        image
            What to make a carrier of when it has gone.
        stop
            Ends the work when it is set.

        Raises
        ------
        BacalhauError
            The results are gone or broken, the disk is full, or the engine does not answer.
        Interrupted
            ``stop`` was set; nothing was copied.
        """
        if not self._request.outputs:
            return
        inspection = self._daemon.inspect(self._carrier)
        if inspection is None:
            carrier = self._carrier_again(image)
        else:
            carrier = str(inspection["Id"])
            self._place = str(inspection["Config"]["Labels"].get(LABEL_PLACE, "bacalhau-files"))
        part, rated = self._request.directory / "copied-results", with_rate(progress)

        def report(reading: Reading) -> None:
            rated(replace(reading, phase=PHASE_OUT))

        try:
            remove_tree(part)
            part.mkdir(mode=0o700, parents=True)
            fetch_tree(self._daemon, carrier, f"/{self._place}/out", part, stop, report)
            place_results(part / "out", self._request.outputs)
        except OSError as error:
            raise io_failure(error, "copy the results to", part.parent, COMPONENT) from error
        finally:
            remove_tree(part)

    def discard(self) -> None:
        """Remove what `load` made, as far as that is possible now."""
        with contextlib.suppress(Exception):
            self._daemon.remove(self._carrier)
            for place in self._places():
                self._daemon.remove_volume(self._volume(place))
            if self._kept is not None:
                self._kept.sweep()

    @property
    def _carrier(self) -> str:
        return f"{self._name}-files"

    def _places(self) -> list[str]:
        inputs = [f"in/{number}" for number, _ in enumerate(self._request.inputs)]
        return inputs + self._places_out()

    def _places_out(self) -> list[str]:
        return [f"out/{number}" for number, _ in enumerate(self._request.outputs)]

    def _volume(self, place: str) -> str:
        return f"{self._name}-{place.replace('/', '-')}"

    def _fresh_volume(self, place: str) -> Volume:
        name = self._volume(place)
        self._daemon.remove_volume(name)
        return Volume.of(self._daemon.api.create_volume(name, driver="local", labels=self._marks))

    def _carrier_again(self, image: str) -> str:
        there = {volume["Name"] for volume in self._daemon.volumes(*self._labels.items())}
        volumes = {place: self._volume(place) for place in self._places_out()}
        if not there.issuperset(volumes.values()):
            # The engine would make empty ones.
            raise engine_error(
                "the results are gone: their volumes were removed by another program",
                hint="Leave volumes whose name starts with `bacalhau-` to the node.",
                retryable=True,
            )
        return self._make_carrier(
            image, [_mount(name, f"/{self._place}/{place}", False) for place, name in volumes.items()]
        )

    def _make_carrier(self, image: str, mounts: Sequence[dict[str, Any]]) -> str:
        config = {
            "Image": image,
            "Entrypoint": ["/never-started"],
            "Labels": self._marks | {LABEL_PLACE: self._place},
            "HostConfig": {"NetworkMode": "none", "Mounts": list(mounts)},
        }
        return str(self._daemon.api.create_container_from_config(config, name=self._carrier)["Id"])

    def _upload(self, carrier: str, blocks: Iterator[bytes]) -> None:
        from docker.errors import APIError

        try:
            self._daemon.put_archive(carrier, "/", blocks)
        except APIError as error:
            words = explain(error)
            if "no space left" in words:
                raise IOFailure(
                    f"the inputs could not be copied: {_FULL}",
                    hint="Free space there: `docker system df` shows what takes it.",
                    retryable=True,
                    fails_execution=True,
                ) from error
            raise engine_error(f"the inputs could not be copied to the Docker Engine: {words}") from error

    def _mounts(self, volumes: Mapping[str, Volume], trees: Sequence[bool]) -> list[dict[str, Any]]:
        mounts = []
        for number, item in enumerate(self._request.inputs):
            volume = volumes[f"in/{number}"]
            if trees[number]:
                mounts.append(_mount(volume.name, item.target, item.read_only))
            else:
                # A volume is a directory; a file in it is mounted from where the engine keeps it.
                mounts.append(bind(f"{volume.place}/{_FILE}", item.target, item.read_only))
        for number, output in enumerate(self._request.outputs):
            mounts.append(_mount(volumes[f"out/{number}"].name, output.target, False))
        return mounts


def _is_directory(mount: InputMount) -> bool:
    opened = open_input(mount, COMPONENT)
    try:
        return beneath.is_directory(opened)
    finally:
        os.close(opened)


def carried(container: dict[str, Any]) -> bool:
    """Whether an inspected container has its files in volumes of `Archive`."""
    return any(
        mount.get("Type") == "volume" and str(mount.get("Name", "")).startswith("bacalhau-")
        for mount in container.get("Mounts") or []
    )


def _mount(volume: str, target: str, read_only: bool) -> dict[str, Any]:
    # NoCopy: like a bind mount, it hides what the image has there.
    return {
        "Type": "volume",
        "Source": volume,
        "Target": target,
        "ReadOnly": read_only,
        "VolumeOptions": {"NoCopy": True},
    }

"""Files of one execution on the disk of an engine that does not see ours.

Each input and each result directory is a separate volume, mounted where a bind mount would be: read-only inputs stay
read-only. What may not be written in the task's container is filled through a second one, the carrier, which has
all the volumes, writable, and is never started: the engine copies into and out of created containers, too, and needs
no program in the image for it. The carrier stays until the execution is cleaned up; it also keeps the volumes from
being pruned. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from bacalhau_jupyter.engines.docker.daemon import CALL_TIMEOUT_S, Daemon, engine_error, explain, no_answer
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.files import cargo
from bacalhau_jupyter.engines.docker.files.placement import bind
from bacalhau_jupyter.engines.docker.output.streams import Stream
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
from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount, Progress
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.inputs import open_input
from bacalhau_jupyter.transfer.archive.unpacking import Limits, unpack_into
from bacalhau_jupyter.transfer.core.files import io_failure

PHASE_OUT = "copying results"
_PLACE = "bacalhau-files"
_FILE = "data"
_NO_LIMITS = Limits(max_bytes=1 << 62, max_members=1 << 40)
"""As for a mount: what a task may leave is bounded by the disk."""


class Archive:
    """The volumes and the carrier of one execution."""

    def __init__(self, daemon: Daemon, request: RunRequest) -> None:
        self._daemon = daemon
        self._request = request
        self._name = container_name(request.node_id, request.execution)
        self._labels = {
            LABEL_NODE: request.node_id,
            LABEL_EXECUTION: execution_label(request.node_id, request.execution.id),
        }
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
        # What an interrupted try left is not trusted to be whole.
        self._daemon.remove(self._carrier)
        places = {name: self._fresh_volume(name) for name in self._volumes()}
        carrier = self._make_carrier(image)
        folders = [
            cargo.Folder(f"{_PLACE}/out/{number}", 0o777) for number, _ in enumerate(self._request.outputs)
        ]
        items = []
        # Decided once: what was copied as a directory is mounted as one, whatever lies at its path meanwhile.
        trees = [_is_directory(mount) for mount in self._request.inputs]
        for number, mount in enumerate(self._request.inputs):
            name = f"{_PLACE}/in/{number}"
            if trees[number]:
                items.append(cargo.Item(mount, name))
            else:
                folders.append(cargo.Folder(name, 0o755))
                items.append(cargo.Item(mount, f"{name}/{_FILE}"))
        self._upload(carrier, cargo.stream(folders, items, progress, abort.check))
        return self._mounts(places, trees)

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
        carrier = str(inspection["Id"]) if inspection is not None else self._carrier_again(image)
        part = self._request.directory / "copied-results"

        def report(reading: Reading) -> None:
            progress(replace(reading, phase=PHASE_OUT))

        try:
            remove_tree(part)
            part.mkdir(mode=0o700, parents=True)
            fetch_tree(self._daemon, carrier, f"/{_PLACE}/out", part, stop, report)
            for number, output in enumerate(self._request.outputs):
                _replace(part / "out" / str(number), output)
        except OSError as error:
            raise io_failure(error, "copy the results to", part.parent, COMPONENT) from error
        finally:
            remove_tree(part)

    def discard(self) -> None:
        """Remove what `load` made, as far as that is possible now."""
        with contextlib.suppress(Exception):
            self._daemon.remove(self._carrier)
            for place in self._volumes():
                self._daemon.remove_volume(self._volume(place))

    @property
    def _carrier(self) -> str:
        return f"{self._name}-files"

    def _volumes(self) -> list[str]:
        inputs = [f"in/{number}" for number, _ in enumerate(self._request.inputs)]
        return inputs + [f"out/{number}" for number, _ in enumerate(self._request.outputs)]

    def _volume(self, place: str) -> str:
        return f"{self._name}-{place.replace('/', '-')}"

    def _fresh_volume(self, place: str) -> str:
        """Make an empty volume; return where it lies on the engine's disk."""
        name = self._volume(place)
        self._daemon.remove_volume(name)
        return str(self._daemon.api.create_volume(name, driver="local", labels=self._marks)["Mountpoint"])

    def _carrier_again(self, image: str) -> str:
        there = {volume["Name"] for volume in self._daemon.volumes(*self._labels.items())}
        if not all(self._volume(name) in there for name in self._volumes()):
            # The engine would make empty ones.
            raise engine_error(
                "the results are gone: their volumes were removed by another program",
                hint="Leave volumes whose name starts with `bacalhau-` to the node.",
                retryable=True,
            )
        return self._make_carrier(image)

    def _make_carrier(self, image: str) -> str:
        config = {
            "Image": image,
            "Entrypoint": ["/never-started"],
            "Labels": self._marks,
            "HostConfig": {
                "NetworkMode": "none",
                "Mounts": [
                    _mount(self._volume(name), f"/{_PLACE}/{name}", False) for name in self._volumes()
                ],
            },
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
                    "the inputs could not be copied: the disk of the Docker Engine is full",
                    hint="Free space there: `docker system df` shows what takes it.",
                    retryable=True,
                    fails_execution=True,
                ) from error
            raise engine_error(f"the inputs could not be copied to the Docker Engine: {words}") from error

    def _mounts(self, places: dict[str, str], trees: list[bool]) -> list[dict[str, Any]]:
        mounts = []
        for number, item in enumerate(self._request.inputs):
            place = f"in/{number}"
            if trees[number]:
                mounts.append(_mount(self._volume(place), item.target, item.read_only))
            else:
                # A volume is a directory; a file in it is mounted from where the engine keeps it.
                mounts.append(bind(f"{places[place]}/{_FILE}", item.target, item.read_only))
        for number, output in enumerate(self._request.outputs):
            mounts.append(_mount(self._volume(f"out/{number}"), output.target, False))
        return mounts


def fetch_tree(
    daemon: Daemon, container: str, path: str, place: Path, stop: threading.Event, progress: Progress
) -> None:
    """Copy a directory of a container to an empty one of ours; what the container's users made is ours then.

    Raises
    ------
    BacalhauError
        The directory does not exist, the copy is broken, the disk is full, or the engine does not answer.
    Interrupted
        ``stop`` was set.
    """
    # The engine would deflate it, at 25 MB/s.
    plain = {"Accept-Encoding": "identity"}
    address = f"/containers/{container}/archive"
    with daemon.stream("GET", address, {"path": path}, plain, timeout_s=float(CALL_TIMEOUT_S)) as answer:
        file = cast(BinaryIO, _StreamFile(answer, daemon.endpoint))
        unpack_into(file, place, limits=_NO_LIMITS, as_is=True, stop=stop, progress=progress)


def _is_directory(mount: InputMount) -> bool:
    opened = open_input(mount, COMPONENT)
    try:
        return beneath.is_directory(opened)
    finally:
        os.close(opened)


def own_tree(daemon: Daemon, container: str, path: str, owner: tuple[int, int]) -> None:
    """Give every directory below (and with) one of a container an owner, who can then remove what is in it.

    Needs no program in the image: the engine, which is root there, unpacks an archive of nothing but directories over
    those that exist, and so changes whom they belong to.

    Raises
    ------
    BacalhauError
        The directory does not exist, or the engine does not answer.
    """
    plain = {"Accept-Encoding": "identity"}
    address = f"/containers/{container}/archive"
    packed = io.BytesIO()
    with (
        daemon.stream(
            "GET", address, {"path": f"{path}/."}, plain, timeout_s=float(CALL_TIMEOUT_S)
        ) as answer,
        tarfile.open(fileobj=packed, mode="w", errors="surrogateescape") as out,
    ):
        file = cast(BinaryIO, _StreamFile(answer, daemon.endpoint))
        with tarfile.open(fileobj=file, mode="r|", errors="surrogateescape") as tar:
            for member in tar:
                if member.isdir():
                    entry = tarfile.TarInfo(member.name)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o700
                    entry.uid, entry.gid = owner
                    out.addfile(entry)
    daemon.put_archive(container, path, iter([packed.getvalue()]))


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


def _replace(copied: Path, output: OutputMount) -> None:
    if not copied.is_dir():
        raise engine_error(f'the Docker Engine sent no results for "{output.name}"')
    remove_tree(output.path)
    make_directories(output.path.parent)
    copied.replace(output.path)


class _StreamFile:
    """An answer's body as a file that can be read forward, and back by the little that telling gzip takes."""

    def __init__(self, stream: Stream, endpoint: Endpoint) -> None:
        self._chunks = stream.chunks()
        self._endpoint = endpoint
        self._buffer = bytearray()
        self._back = b""

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (chunk := self._next()):
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._back = data[-2:]
        return data

    def seek(self, offset: int, whence: int = os.SEEK_CUR) -> None:
        if whence != os.SEEK_CUR or offset > 0 or -offset > len(self._back):
            raise ValueError("only the last bytes can be read again")
        self._buffer[:0] = self._back[len(self._back) + offset :]

    def fileno(self) -> int:
        raise OSError("it is not a file on this disk")

    def _next(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except BacalhauError:
            raise
        except Exception as error:
            # Any error that cuts the answer off; as an OSError it would look like an error of our disk.
            raise no_answer(self._endpoint) from error

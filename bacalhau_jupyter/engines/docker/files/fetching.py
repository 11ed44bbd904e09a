"""Directories of a container, as the engine sends them. Everything here blocks."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from bacalhau_jupyter.engines.docker.daemon import CALL_TIMEOUT_S, Daemon, engine_error, no_answer
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.output.streams import Stream
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.plugins.contract import OutputMount, Progress
from bacalhau_jupyter.transfer.archive.unpacking import Limits, unpack_into

_NO_LIMITS = Limits(max_bytes=1 << 62, max_members=1 << 40)
"""As for a mount: what a task may leave is bounded by the disk."""


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


def place_results(copied: Path, outputs: Sequence[OutputMount]) -> None:
    """Put fetched results, called 0, 1, … in ``copied``, in place of the result directories.

    Raises
    ------
    EngineError
        One is missing, or a link: an engine that lies would have us publish what is our own.
    OSError
        It can't be written here.
    """
    for number, output in enumerate(outputs):
        place = copied / str(number)
        if not (_is_directory(copied) and _is_directory(place)):
            raise engine_error(f'the Docker Engine sent no results for "{output.name}"')
        remove_tree(output.path)
        make_directories(output.path.parent)
        place.replace(output.path)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


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


class _StreamFile:
    """An answer's body as a file that can be read forward, and back by the little that telling gzip takes."""

    def __init__(self, stream: Stream, endpoint: Endpoint) -> None:
        self._pieces = stream.pieces()
        self._endpoint = endpoint
        self._piece = memoryview(b"")
        self._back = b""

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (part := self.read1(size - len(data))):
            data += part
        self._back = data[-2:]
        return data

    def read1(self, size: int) -> memoryview:
        """Return what has arrived, at most ``size`` bytes; it is gone at the next call, and none is the end."""
        if not self._piece:
            self._piece = self._next()
        part, self._piece = self._piece[:size], self._piece[size:]
        return part

    def seek(self, offset: int, whence: int = os.SEEK_CUR) -> None:
        if whence != os.SEEK_CUR or offset > 0 or -offset > len(self._back):
            raise ValueError("only the last bytes can be read again")
        again = self._back[len(self._back) + offset :]
        self._piece = memoryview(again + bytes(self._piece))

    def fileno(self) -> int:
        raise OSError("it is not a file on this disk")

    def _next(self) -> memoryview:
        try:
            return next(self._pieces, memoryview(b""))
        except BacalhauError:
            raise
        except Exception as error:
            # Any error that cuts the answer off; as an OSError it would look like an error of our disk.
            raise no_answer(self._endpoint) from error

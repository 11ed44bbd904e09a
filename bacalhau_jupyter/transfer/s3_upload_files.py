"""A directory to objects, one for each file, some at a time."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.transfer.files import (
    CHUNK,
    Interrupted,
    Progress,
    check_interrupted,
    io_failure,
    no_progress,
)
from bacalhau_jupyter.transfer.s3 import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3_upload import ObjectWriter

FILES_AT_ONCE = 6


def upload_files(
    clients: S3Clients,
    location: S3Location,
    root: Path,
    *,
    progress: Progress = no_progress,
    stop: threading.Event,
) -> None:
    """Upload every file below a directory, to the location's key followed by its relative path. Blocking.

    A link counts as the file that it means, among those below ``root``.

    Parameters
    ----------
    progress
        Gets phase ``publishing``, bytes and files.
    stop
        Ends the upload; it is set when a file fails, too.

    Raises
    ------
    BacalhauError
        A file can't be read or sent, or is a link that leads outside; files sent so far stay.
    Interrupted
        ``stop`` was set by somebody else.
    """
    files = _every_file(root)
    work = _Uploads(clients, location, root, files, progress, stop)
    with ThreadPoolExecutor(min(FILES_AT_ONCE, max(1, len(files))), thread_name_prefix="s3-files") as pool:
        futures = [pool.submit(work.drain) for _ in range(FILES_AT_ONCE)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        # The others only noticed that one had failed.
        raise next((error for error in errors if not isinstance(error, Interrupted)), errors[0])


class _Uploads:
    """What several threads take their files from."""

    def __init__(
        self,
        clients: S3Clients,
        location: S3Location,
        root: Path,
        files: Sequence[Path],
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._clients = clients
        self._location = location
        self._root = root
        self._left: Iterator[Path] = iter(files)
        self._count = len(files)
        self._size = None if progress is no_progress else sum(map(_size, files))
        self._progress = progress
        self._stop = stop
        self._lock = threading.Lock()
        self._bytes = self._files = 0

    def drain(self) -> None:
        """Upload files until none is left."""
        try:
            while True:
                check_interrupted(self._stop)
                with self._lock:
                    path = next(self._left, None)
                if path is None:
                    return
                self._send(path)
        except BaseException:
            self._stop.set()
            raise

    def _send(self, path: Path) -> None:
        name = path.relative_to(self._root).as_posix()
        place = replace(self._location, key=self._location.key + name)
        with ObjectWriter(self._clients, place, stop=self._stop) as writer:
            for chunk in _contents(path, self._root, self._clients.component):
                self._tell(writer.write(chunk), 0)
        self._tell(0, 1)

    def _tell(self, count: int, files: int) -> None:
        with self._lock:
            self._bytes += count
            self._files += files
            done, files_done = self._bytes, self._files
        size = None if self._size is None else max(self._size, done)
        self._progress("publishing", done, size, files_done, self._count)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of what a link means; what can't be read is named when it is sent."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _every_file(directory: Path) -> list[Path]:
    """Return what is a file or a link, sorted; directories are entered, links to them are not."""
    entries = walk(directory, deepest=MAX_DEPTH)
    return sorted(directory / entry.path for entry in entries if not stat.S_ISDIR(entry.info.st_mode))


def _contents(path: Path, root: Path, component: str) -> Iterator[bytes]:
    """Yield what a file holds; a link counts as the file that it means, among the results."""
    real = Path(os.path.realpath(path))
    if path.is_symlink() and not (real.is_relative_to(os.path.realpath(root)) and real.is_file()):
        raise IOFailure(
            f"the link {path.relative_to(root)} in the results means no file among them",
            hint="copy the file there instead, or publish with Encoding gzip",
            component=component,
        )
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise io_failure(error, "read", path, component) from error

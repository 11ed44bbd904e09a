"""A directory to objects, one for each file, some at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import RawIOBase

from bacalhau_jupyter.models.names import to_wire
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.core.files import CHUNK, Interrupted, check_interrupted, io_failure
from bacalhau_jupyter.transfer.core.gathering import Gathering, Item
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3.writing.upload import ObjectWriter

FILES_AT_ONCE = 6


def upload_files(
    clients: S3Clients,
    location: S3Location,
    source: Gathering,
    *,
    progress: Progress = no_progress,
    stop: threading.Event,
) -> None:
    """Upload every file that is gathered, to the location's key followed by its relative path. Blocking.

    Keys are UTF-8: other names have the form of `models.names.to_wire`.

    Parameters
    ----------
    source
        One without links (`Gathering`): objects can't be any.
    progress
        Gets phase ``publishing``, bytes and files.
    stop
        Ends the upload; it is set when a file fails, too.

    Raises
    ------
    BacalhauError
        A file can't be sent; files sent so far stay.
    Interrupted
        ``stop`` was set by another thread.
    """
    files = [item for item in source if item.kind is EntryKind.FILE]
    work = _Uploads(clients, location, source, files, progress, stop)
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
        source: Gathering,
        files: Sequence[Item],
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._clients = clients
        self._location = location
        self._source = source
        self._left: Iterator[Item] = iter(files)
        self._count = len(files)
        self._size = None if progress is no_progress else sum(item.info.st_size for item in files)
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
                    item = next(self._left, None)
                if item is None:
                    return
                self._send(item)
        except BaseException:
            self._stop.set()
            raise

    def _send(self, item: Item) -> None:
        descriptor = self._source.open(item)
        if descriptor is not None:
            place = replace(self._location, key=self._location.key + to_wire(item.name))
            with (
                os.fdopen(descriptor, "rb", buffering=0) as file,
                ObjectWriter(self._clients, place, stop=self._stop) as writer,
            ):
                for chunk in self._contents(item, file):
                    self._tell(writer.write(chunk), 0)
        self._tell(0, 1)

    def _contents(self, item: Item, file: RawIOBase) -> Iterator[bytes]:
        try:
            while chunk := file.read(CHUNK):
                yield chunk
        except OSError as error:
            path = self._source.root / item.name
            raise io_failure(error, "read", path, self._clients.component) from error

    def _tell(self, count: int, files: int) -> None:
        with self._lock:
            self._bytes += count
            self._files += files
            done, files_done = self._bytes, self._files
        size = None if self._size is None else max(self._size, done)
        self._progress(Reading("publishing", done, size, files_done, self._count))

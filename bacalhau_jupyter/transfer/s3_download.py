"""Many objects to a directory, at once: a bounded number of threads, each with one buffer.

Large objects are cut into ranges that land in one file; a connection that breaks goes on where it broke; every
request names the ETag that the listing saw, so no file is ever made of two versions.
"""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, NetworkFailure
from bacalhau_jupyter.transfer.files import (
    CHUNK,
    Interrupted,
    Progress,
    disk_full,
    free_bytes,
    io_failure,
    no_progress,
)
from bacalhau_jupyter.transfer.s3 import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3_errors import READ_TIMEOUT_S
from bacalhau_jupyter.transfer.s3_get import Getter
from bacalhau_jupyter.transfer.s3_listing import S3Object

WORKERS = 8
PART_BYTES = 32 * CHUNK
MAX_RETRIES = 5

_REPORTS = 200


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes ``first`` to ``last`` (inclusive) of an object."""

    item: S3Object
    path: Path
    first: int
    last: int


class _Meter:
    """Adds up bytes of all threads; reports now and then."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._told = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._done - self._told < self._total // _REPORTS and self._done < self._total:
                return
            self._told = done = self._done
        self._progress("downloading", done, self._total)


class _Downloader:
    def __init__(
        self, getter: Getter, component: str, meter: _Meter, max_retries: int, stop: threading.Event
    ) -> None:
        self._getter = getter
        self._component = component
        self._meter = meter
        self._max_retries = max_retries
        self._caller = stop
        # Set when another thread failed: its error is the one to tell.
        self.failed = threading.Event()

    def drain(self, pieces: queue.SimpleQueue[_Piece]) -> None:
        """Fetch pieces until none is left; raises what went wrong."""
        try:
            while True:
                try:
                    piece = pieces.get_nowait()
                except queue.Empty:
                    return
                self._check()
                try:
                    self._fetch(piece)
                except OSError as error:
                    raise io_failure(error, "write", piece.path, self._component) from error
        except BaseException:
            self.failed.set()
            raise

    def _check(self) -> None:
        if self._caller.is_set() or self.failed.is_set():
            raise Interrupted

    def _fetch(self, piece: _Piece) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(piece.path, flags, 0o644)
        try:
            position, tries = piece.first, 0
            delays = backoff(0.2, 5.0)
            while True:
                start = position
                failure: BacalhauError | None = None
                try:
                    position = self._stream(piece, position, descriptor)
                except BacalhauError as error:
                    if not error.retryable:
                        raise
                    failure = error
                if position > piece.last:
                    return
                # Whatever came is progress: only tries that bring nothing use up the patience.
                if position > start:
                    tries, delays = 0, backoff(0.2, 5.0)
                tries += position == start
                if tries > self._max_retries:
                    raise failure or self._cut(piece, position)
                if self._caller.wait(next(delays)):
                    raise Interrupted
        finally:
            os.close(descriptor)

    def _cut(self, piece: _Piece, position: int) -> BacalhauError:
        return NetworkFailure(
            f"could not read {piece.item.key}: the server hung up at byte {position} of {piece.item.size}",
            component=self._component,
            retryable=True,
        )

    def _stream(self, piece: _Piece, position: int, descriptor: int) -> int:
        """Write what one connection brings; return the position after it."""
        whole = position == 0 and piece.last + 1 == piece.item.size
        bounds = (0, None) if whole else (position, piece.last)
        with self._getter.open(piece.item, *bounds) as body:
            while position <= piece.last:
                self._check()
                try:
                    chunk = body.read(min(CHUNK, piece.last + 1 - position))
                except (OSError, HTTPException):
                    # The rest is asked for again.
                    break
                if not chunk:
                    break
                position += _write(descriptor, chunk, position)
                self._meter.add(len(chunk))
        return position


def _write(descriptor: int, chunk: bytes, position: int) -> int:
    view, written = memoryview(chunk), 0
    while written < len(chunk):
        written += os.pwrite(descriptor, view[written:], position + written)
    return written


def download_objects(
    clients: S3Clients,
    location: S3Location,
    items: Sequence[S3Object],
    names: Mapping[str, str],
    directory: Path,
    *,
    progress: Progress = no_progress,
    stop: threading.Event | None = None,
    max_retries: int = MAX_RETRIES,
    read_timeout: float = READ_TIMEOUT_S,
) -> None:
    """Download objects below a directory, readable for every user. Blocking: call it in a thread.

    Parameters
    ----------
    names
        Relative path for each key (`s3_listing.local_names`).
    directory
        Exists and is empty; removed by the caller when this fails.
    progress
        Gets phase ``downloading`` and bytes of all objects.
    max_retries
        Connections in a row that bring nothing before a download is given up.
    read_timeout
        Seconds without a byte before a connection counts as broken.

    Raises
    ------
    BacalhauError
        An object is gone, changed or refused, the network stays away, the disk is full, a checksum differs.
    Interrupted
        ``stop`` was set.
    """
    component = clients.component
    total = sum(item.size for item in items)
    free = free_bytes(directory)
    if free is not None and total > free:
        raise disk_full(directory, component, total)
    pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
    count = 0
    try:
        for piece in _plan(items, names, directory):
            pieces.put(piece)
            count += 1
    except OSError as error:
        raise io_failure(error, "write", directory, component) from error
    getter = Getter(clients, location, read_timeout)
    try:
        worker = _Downloader(
            getter, component, _Meter(total, progress), max_retries, stop or threading.Event()
        )
        _run(worker, pieces, min(WORKERS, max(1, count)))
    finally:
        getter.close()
    for item in items:
        if item.sha256:
            verify_sha256(
                directory / names[item.key], item.sha256, f"s3://{location.bucket}/{item.key}", component
            )


def _plan(items: Sequence[S3Object], names: Mapping[str, str], directory: Path) -> list[_Piece]:
    """Make directories and empty files; return what is to be fetched, large objects first."""
    made = {directory}
    pieces: list[_Piece] = []
    for item in sorted(items, key=lambda item: -item.size):
        path = directory / names[item.key]
        if path.parent not in made:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            made.add(path.parent)
        if not item.size:
            path.touch(0o644)
        pieces.extend(
            _Piece(item, path, first, min(first + PART_BYTES, item.size) - 1)
            for first in range(0, item.size, PART_BYTES)
        )
    return pieces


def _run(worker: _Downloader, pieces: queue.SimpleQueue[_Piece], threads: int) -> None:
    with ThreadPoolExecutor(threads, thread_name_prefix="s3-download") as pool:
        futures = [pool.submit(worker.drain, pieces) for _ in range(threads)]
        wait(futures, return_when=FIRST_EXCEPTION)
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        # The others only noticed that one had failed.
        raise next((error for error in errors if not isinstance(error, Interrupted)), errors[0])


def verify_sha256(path: Path, wanted: str, name: str, component: str) -> None:
    """Compare a file with a base64 SHA-256.

    Raises
    ------
    EngineError
        They differ. The checksum of a multipart upload (``…-3``) is none of its bytes, and is not compared.
    IOFailure
        The file can't be read.
    """
    if "-" in wanted:
        return
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise io_failure(error, "read", path, component) from error
    found = base64.b64encode(digest).decode()
    if found != wanted:
        raise EngineError(
            f"the checksum of {name} differs: the job wants {wanted}, its bytes have {found}",
            hint="correct ChecksumSHA256 (base64), or leave it out",
            component=component,
        )

"""Many objects to a directory, at once: a bounded number of threads, each with one buffer.

Large objects are cut into ranges that land in one file; a connection that breaks goes on where it broke; every
request names the ETag that the listing saw, so no file is ever made of two versions.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, NetworkFailure
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.core.files import (
    CHUNK,
    Interrupted,
    disk_full,
    free_bytes,
    io_failure,
    write_at,
)
from bacalhau_jupyter.transfer.s3.reading.get import Getter
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object
from bacalhau_jupyter.transfer.s3.reading.pieces import Meter, Piece, Pieces, prepare
from bacalhau_jupyter.transfer.s3.reading.verify import EtagCheck, verify_sha256
from bacalhau_jupyter.transfer.s3.requests.errors import READ_TIMEOUT_S
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

WORKERS = 8
MAX_RETRIES = 5


class _Downloader:
    def __init__(
        self, getter: Getter, component: str, meter: Meter, max_retries: int, stop: threading.Event
    ) -> None:
        self._getter = getter
        self._component = component
        self._meter = meter
        self._max_retries = max_retries
        self._check_etag = EtagCheck()
        self._caller = stop
        # Set when another thread failed: its error is the one to tell.
        self.failed = threading.Event()

    def drain(self, pieces: Pieces) -> None:
        """Fetch pieces until none is left; raises what went wrong."""
        try:
            while (piece := pieces.next()) is not None:
                self._check()
                try:
                    self._fetch(piece)
                except OSError as error:
                    raise io_failure(error, "write", Path(piece.path), self._component) from error
        except BaseException:
            self.failed.set()
            raise

    def _check(self) -> None:
        if self._caller.is_set() or self.failed.is_set():
            raise Interrupted

    def _fetch(self, piece: Piece) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(piece.path, flags, 0o644)
        try:
            if not piece.is_whole or not self._check_etag.applies(piece.item):
                self._bring(piece, descriptor, None)
                return
            for _ in range(self._max_retries + 1):
                digest = hashlib.md5(usedforsecurity=False)
                self._bring(piece, descriptor, digest)
                if self._check_etag.accepts(piece.item, digest.hexdigest()):
                    return
                self._meter.take_back(piece.item.size)
            raise EngineError(
                f"could not read {piece.item.key}: each read gave other bytes, and none matched the stored checksum",
                hint="something between this node and the server changes them; https would notice",
                component=self._component,
            )
        finally:
            os.close(descriptor)

    def _bring(self, piece: Piece, descriptor: int, digest: Hash | None) -> None:
        """Write a piece, by as many connections as it takes."""
        position, tries = piece.first, 0
        delays = backoff(0.2, 5.0)
        while True:
            start = position
            failure: BacalhauError | None = None
            try:
                position = self._stream(piece, position, descriptor, digest)
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

    def _cut(self, piece: Piece, position: int) -> BacalhauError:
        return NetworkFailure(
            f"could not read {piece.item.key}: the connection ended at byte {position} of {piece.item.size}",
            component=self._component,
            retryable=True,
        )

    def _stream(self, piece: Piece, position: int, descriptor: int, digest: Hash | None) -> int:
        """Write what one connection brings; return the position after it."""
        whole = position == 0 and piece.is_whole
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
                write_at(descriptor, chunk, position)
                position += len(chunk)
                if digest is not None:
                    digest.update(chunk)
                self._meter.add(len(chunk), piece.item.key if position > piece.last else "")
        return position


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
    read_timeout_s: float = READ_TIMEOUT_S,
) -> None:
    """Download objects below a directory, readable for every user. Blocking: call it in a thread.

    Parameters
    ----------
    names
        Relative path for each key (`s3_listing.local_names`).
    directory
        Exists and is empty; removed by the caller when this fails.
    progress
        Gets phase ``downloading``, bytes and files of all objects.
    max_retries
        Connections in a row that bring nothing before a download is given up.
    read_timeout_s
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
    try:
        prepare(items, names, directory)
    except OSError as error:
        raise io_failure(error, "write", directory, component) from error
    pieces = Pieces(items, names, directory)
    getter = Getter(clients, location, read_timeout_s)
    try:
        worker = _Downloader(
            getter, component, Meter(items, progress), max_retries, stop or threading.Event()
        )
        _run(worker, pieces, min(WORKERS, max(1, pieces.count)))
    finally:
        getter.close()
    for item in items:
        if item.sha256:
            verify_sha256(
                directory / names[item.key], item.sha256, f"s3://{location.bucket}/{item.key}", component
            )


def _run(worker: _Downloader, pieces: Pieces, threads: int) -> None:
    with ThreadPoolExecutor(threads, thread_name_prefix="s3-download") as pool:
        futures = [pool.submit(worker.drain, pieces) for _ in range(threads)]
        wait(futures, return_when=FIRST_EXCEPTION)
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        # The others only noticed that one had failed.
        raise next((error for error in errors if not isinstance(error, Interrupted)), errors[0])

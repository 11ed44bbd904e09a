"""Streams to objects, in parts: nothing is written to disk, and no more than a few parts are in memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from bacalhau_jupyter.transfer.core.files import check_interrupted
from bacalhau_jupyter.transfer.s3.requests.errors import boto_errors, s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location

PART_BYTES = 8 << 20
WORKERS = 4

# S3 takes 10 000 parts of 5 GB: they grow, so that a stream of any length fits.
_PARTS_PER_SIZE = 1000
_LARGEST_DOUBLING = 6


@dataclass(frozen=True)
class Uploaded:
    """What S3 said of a finished object; each text is empty where it said nothing."""

    version_id: str = ""
    sha256: str = ""


class ObjectWriter(io.RawIOBase):
    """A file to write an object of unknown length into; the object appears when the `with` block ends well.

    Leaving the block by an exception aborts the upload: nothing is left under the key. Blocking.

    Parameters
    ----------
    checksum
        Whether S3 stores a SHA-256.
    stop
        When set, the next write raises `Interrupted`.
    """

    def __init__(
        self,
        clients: S3Clients,
        location: S3Location,
        *,
        checksum: bool = False,
        content_type: str = "application/octet-stream",
        stop: threading.Event | None = None,
    ) -> None:
        super().__init__()
        self._clients = clients
        self._location = location
        self._client = clients.client(location)
        self._target: dict[str, Any] = {"Bucket": location.bucket, "Key": location.key}
        self._sums: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if checksum else {}
        self._content_type = content_type
        self._stop = stop
        self._buffer = bytearray()
        self._upload_id = ""
        self._parts: list[Future[dict[str, Any]]] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="s3-upload")
        self._slots = threading.Semaphore(WORKERS)
        self.result = Uploaded()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Take bytes; waits while enough parts are on their way."""
        check_interrupted(self._stop)
        self._buffer += data
        while len(self._buffer) >= (size := self._part_size()):
            part = bytes(memoryview(self._buffer)[:size])
            del self._buffer[:size]
            self._send(part)
        return len(data)

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                self._abort()
        finally:
            self._pool.shutdown()
            self.close()

    def _part_size(self) -> int:
        return PART_BYTES << min(len(self._parts) // _PARTS_PER_SIZE, _LARGEST_DOUBLING)

    def _send(self, part: bytes) -> None:
        if not self._upload_id:
            answer = self._call(
                self._client.create_multipart_upload,
                **self._target,
                **self._sums,
                ContentType=self._content_type,
            )
            self._upload_id = str(answer["UploadId"])
        # A part that failed ends the upload here, not after the last byte.
        for done in self._parts:
            if done.done():
                done.result()
        while not self._slots.acquire(timeout=0.5):
            check_interrupted(self._stop)
        self._parts.append(self._pool.submit(self._put_part, len(self._parts) + 1, part))

    def _put_part(self, number: int, part: bytes) -> dict[str, Any]:
        try:
            answer = self._call(
                self._client.upload_part,
                **self._target,
                **self._sums,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=part,
            )
        finally:
            self._slots.release()
        stored_part = {"PartNumber": number, "ETag": answer["ETag"]}
        if self._sums:
            stored_part["ChecksumSHA256"] = answer.get("ChecksumSHA256")
        return {name: value for name, value in stored_part.items() if value is not None}

    def _finish(self) -> None:
        try:
            if not self._upload_id:
                answer = self._call(
                    self._client.put_object,
                    **self._target,
                    **self._sums,
                    ContentType=self._content_type,
                    Body=bytes(self._buffer),
                )
            else:
                if self._buffer:
                    self._send(bytes(self._buffer))
                parts = [part.result() for part in self._parts]
                check_interrupted(self._stop)
                answer = self._call(
                    self._client.complete_multipart_upload,
                    **self._target,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": parts},
                )
        except BaseException:
            self._abort()
            raise
        self.result = Uploaded(
            str(answer.get("VersionId") or ""),
            # Some servers tell one that was not asked for.
            str(answer.get("ChecksumSHA256") or "") if self._sums else "",
        )

    def _abort(self) -> None:
        """Take back what was sent; parts that are on their way first, or they would stay."""
        for part in self._parts:
            part.cancel()
        self._pool.shutdown()
        if self._upload_id:
            with suppress(Exception):
                self._client.abort_multipart_upload(**self._target, UploadId=self._upload_id)

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return operation(**arguments)
        except boto_errors() as error:
            raise s3_failure(error, f"write {self._location}", self._clients.component) from error

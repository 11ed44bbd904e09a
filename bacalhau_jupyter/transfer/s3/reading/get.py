"""Reading objects, whole or in ranges."""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import quote

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object
from bacalhau_jupyter.transfer.s3.requests.errors import READ_TIMEOUT_S
from bacalhau_jupyter.transfer.s3.requests.http import Answer
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3.requests.wire import Wire


class Getter:
    """Reads objects of one bucket. Blocking; usable from several threads; close it.

    Parameters
    ----------
    location
        Bucket, region and endpoint.
    read_timeout_s
        Seconds without a byte before a connection counts as broken.
    """

    def __init__(
        self,
        clients: S3Clients,
        location: S3Location,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        self._bucket = location.bucket
        self._wire = Wire(clients, location, read_timeout_s, clock)

    def close(self) -> None:
        """Release connections."""
        self._wire.close()

    def open(self, item: S3Object, first: int = 0, last: int | None = None) -> AbstractContextManager[Answer]:
        """Yield the answer whose body is an object, or its bytes ``first`` to ``last`` (inclusive).

        Raises
        ------
        BacalhauError
            S3 refuses, or can't be reached; ``retryable`` says whether to try again.
        """
        path = self._wire.path + quote(item.key, safe="/~")
        query = f"versionId={quote(item.version_id, safe='~')}" if item.version_id else ""
        headers = {"If-Match": item.etag} if item.etag else {}
        if first > 0 or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        return self._wire.get(path, query, headers, f"read s3://{self._bucket}/{item.key}", "GetObject")

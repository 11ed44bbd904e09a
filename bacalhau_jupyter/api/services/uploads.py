"""Content that clients send ahead of their jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.uploads import BeginUpload, UploadState


class Uploads(Protocol):
    """Content that clients send ahead of their jobs. ``owner`` is the caller's principal.

    Methods raise `NotFound` for an upload that is not there or another principal's, and `BadRequest`, `Conflict`,
    `ResourceExhausted` or `IOFailure` for what can't be taken.
    """

    async def begin(self, owner: str, order: BeginUpload, local: bool, base_url: str) -> UploadState:
        """Return where to upload to; ``local``: the caller may write to the disk itself."""
        ...

    async def state(self, owner: str, upload_id: str) -> UploadState:
        """Return how far an upload is."""
        ...

    async def append(
        self, owner: str, upload_id: str, start: int, chunks: AsyncIterator[bytes], base_url: str
    ) -> UploadState:
        """Take bytes from ``start`` on; the last ones complete the upload."""
        ...

    async def complete(self, owner: str, upload_id: str, base_url: str) -> UploadState:
        """Keep what lies on the disk."""
        ...

    async def drop(self, owner: str, upload_id: str) -> None:
        """Give an upload up."""
        ...

    async def clear(self) -> DiskUsage:
        """Remove what no job refers to; return what is gone."""
        ...

    async def resolve(self, sha256: str, name: str, expires: str, signature: str) -> Path:
        """Return the content that a signed URL means.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        NotFound
            The content is not there any more.
        """
        ...

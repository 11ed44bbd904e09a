"""Calls that send content ahead of the jobs that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.records.uploads import PATH, BeginUpload, UploadState


class UploadCalls:
    """The routes of ``/orchestrator/uploads``. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self, order: BeginUpload) -> UploadState:
        """Begin an upload, or find the content that is there already."""
        return await self._connection.request("POST", PATH, UploadState, body=order)

    async def send_range(
        self, upload_id: str, start: int, stop: int, size: int, chunks: AsyncIterator[bytes]
    ) -> UploadState:
        """Send the bytes ``start`` to ``stop`` (excluded) of ``size``; takes as long as it takes."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{stop - 1}/{size}",
            "Content-Length": str(stop - start),
        }
        return await self._connection.send("PUT", f"{PATH}/{upload_id}", UploadState, chunks, headers)

    async def complete(self, upload_id: str) -> UploadState:
        """Let the node keep what was written to its disk; takes as long as reading it takes."""
        return await self._connection.send("POST", f"{PATH}/{upload_id}/complete", UploadState, None, {})

    async def drop(self, upload_id: str) -> None:
        """Give an upload up."""
        await self._connection.request("DELETE", f"{PATH}/{upload_id}", dict)

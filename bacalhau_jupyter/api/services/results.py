"""Published results: links to them, their archives, the files in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.wire.api import ResultFile


class ResultLinks(Protocol):
    """Signed URLs of results that lie on this node's disk."""

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into what the caller can download; foreign types come back unchanged.

        ``base_url`` is this node as the caller addressed it, such as ``http://127.0.0.1:1234``.
        """
        ...

    def file(self, reference: SpecConfig) -> Path | None:
        """Return the archive of a stored reference on this node's disk; None where it lies elsewhere, or nowhere."""
        ...

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        NotFound
            The archive does not exist, or no longer exists.
        """
        ...

    def opened(self, archive: Path) -> MadeArchive | None:
        """Open an archive that is made while it is sent; None for one that is a file. Blocks.

        Raises
        ------
        BacalhauError
            It is gone, or damaged.
        """
        ...


class MadeArchive(Protocol):
    """An archive that is made of what lies in a directory; close it."""

    @property
    def length(self) -> int:
        """Its bytes."""
        ...

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part."""
        ...

    async def close(self) -> None:
        """Close what it is made of."""
        ...


class ResultReceiver(Protocol):
    """Takes the archives that nodes elsewhere send, by links that this node signed."""

    def admit(self, name: str, expires: str, signature: str) -> str:
        """Return the execution whose archive a signed URL takes.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        """
        ...

    async def take(self, execution_id: str, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Keep an archive of so many bytes; raises BacalhauError where it can't be kept, or is not wanted."""
        ...


class ResultFiles(Protocol):
    """Looks into published results without fetching them whole."""

    async def list(self, reference: SpecConfig) -> Sequence[ResultFile]:
        """Return every entry of a result, as it is stored with its execution.

        Raises
        ------
        BacalhauError
            The result is gone, or this node may not read it.
        """
        ...

    async def size(self, reference: SpecConfig, path: str) -> int:
        """Return the bytes of one file; raises NotFound if it does not exist."""
        ...

    def read(self, reference: SpecConfig, path: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (excluded) of one file."""
        ...

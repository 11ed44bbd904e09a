"""Bytes of an archive, wherever it is, in any order: what `reader` reads from."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Protocol

from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure

TAIL = 64 * 1024
"""Bytes at the end that the first request brings along: the index of most archives is among them."""

COMPONENT = "Results"


class Ranges(Protocol):
    """Something with a length whose bytes can be read from anywhere."""

    async def size(self) -> int:
        """Return its length in bytes."""
        ...

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (excluded), which lie within its length."""
        ...


class FileRanges:
    """A file of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def size(self) -> int:
        """Return its length in bytes."""
        try:
            return (await asyncio.to_thread(self._path.stat)).st_size
        except OSError as error:
            raise io_failure(error, "read", self._path, COMPONENT) from error

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part."""
        try:
            file = await asyncio.to_thread(self._path.open, "rb")
            try:
                async for chunk in read_file(file, start, stop):
                    yield chunk
            finally:
                await asyncio.to_thread(file.close)
        except OSError as error:
            raise io_failure(error, "read", self._path, COMPONENT) from error


async def read_file(file: BinaryIO, start: int, stop: int) -> AsyncIterator[bytes]:
    """Yield the bytes ``start`` to ``stop`` of an open file; it ends early where the file does."""
    while start < stop:
        chunk = await asyncio.to_thread(os.pread, file.fileno(), min(CHUNK, stop - start), start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk

"""Bytes of an archive, wherever it is, in any order: what `reader` reads from."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Protocol

from bacalhau_jupyter.lib.threads.files import opened
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
    """Reads ranges of an archive that lies on this machine."""

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
            file = await opened(self._path)
            try:
                async for chunk in read_file(file, start, stop):
                    yield chunk
            finally:
                await asyncio.to_thread(file.close)
        except OSError as error:
            raise io_failure(error, "read", self._path, COMPONENT) from error


class OpenFileRanges:
    """A file of this machine that stays readable when its name goes; close it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def of(cls, path: Path) -> OpenFileRanges | None:
        """Open a plain file of our own user; None for anything else, or nothing."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
            os.close(descriptor)
            return None
        return cls(os.fdopen(descriptor, "rb", buffering=0))

    async def size(self) -> int:
        """Return its length in bytes."""
        return os.fstat(self._file.fileno()).st_size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part."""
        async for chunk in read_file(self._file, start, stop):
            yield chunk

    async def close(self) -> None:
        """Close the file."""
        self.release()

    def release(self) -> None:
        """Close the file, without an event loop."""
        self._file.close()


async def read_file(file: BinaryIO, start: int, stop: int) -> AsyncIterator[bytes]:
    """Yield the bytes ``start`` to ``stop`` of an open file; it ends early where the file does."""
    async for chunk in read_descriptor(file.fileno(), start, stop):
        yield chunk


async def read_descriptor(descriptor: int, start: int, stop: int) -> AsyncIterator[bytes]:
    """Do what `read_file` does with a descriptor."""
    while start < stop:
        chunk = await asyncio.to_thread(os.pread, descriptor, min(CHUNK, stop - start), start)
        if not chunk:
            return
        start += len(chunk)
        yield chunk

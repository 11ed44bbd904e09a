"""The bytes of a tar, gzip or plain, as `tarfile` may read them when a stranger made the archive."""

from __future__ import annotations

import gzip
import os
import tarfile
from io import BufferedIOBase
from typing import BinaryIO, cast

from bacalhau_jupyter.transfer.core.files import CHUNK

_MAX_HEADERS = 4 << 20
_MAX_TAIL = 64 << 20


class TarStream:
    """The tar stream for `tarfile`: forward only, and with a bound on what it may read between two members.

    Parameters
    ----------
    source
        A seekable file, whose first bytes tell whether it is gzip; read only, if ``plain``.
    plain
        Whether it is a tar stream for certain.
    """

    def __init__(self, source: BinaryIO, *, plain: bool = False) -> None:
        self._packed = _CountedFile(source)
        compressed = not plain and _is_gzip(source)
        self._plain = gzip.GzipFile(fileobj=cast(BinaryIO, self._packed)) if compressed else self._packed
        # Of gzip, read1 gives what 8 KiB unpack to.
        self._part = self._plain.read if compressed else self._packed.read1
        self._position = 0
        self.header_bytes = 0
        self.last_block = b""

    @property
    def packed_bytes(self) -> int:
        return self._packed.count

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        self.header_bytes += size
        if self.header_bytes > _MAX_HEADERS:
            raise tarfile.ReadError("a header is too large")
        self.last_block = self._read(size)
        return self.last_block

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a member has a wrong size")
        while self._position < position:
            if not self._read(min(CHUNK, position - self._position)):
                raise EOFError("it ends in the middle of a file")

    def data(self, size: int) -> bytes | memoryview:
        """Read contents of a file: at least one byte; they are to be used before the next call."""
        if size < 0:
            # Some versions of tarfile let such a size pass, and no bound would hold for what follows.
            raise tarfile.ReadError("a member has a wrong size")
        chunk = self._part(min(size, CHUNK))
        if not chunk:
            raise EOFError("it ends in the middle of a file")
        self._position += len(chunk)
        return chunk

    def check_end(self) -> None:
        """Read what follows the last member, so that checksums are compared, and find what was not understood."""
        if self.last_block.strip(b"\0"):
            raise tarfile.ReadError("it holds something that is not a tar header")
        tail_bytes = 0
        while tail := self._read(CHUNK):
            tail_bytes += len(tail)
            if tail_bytes > _MAX_TAIL or tail.strip(b"\0"):
                raise tarfile.ReadError("something follows after its end")

    def _read(self, size: int) -> bytes:
        chunk = self._plain.read(size)
        self._position += len(chunk)
        return chunk


def _is_gzip(source: BinaryIO) -> bool:
    magic = source.read(2)
    source.seek(-len(magic), os.SEEK_CUR)
    return magic == b"\x1f\x8b"


class _CountedFile:
    """Counts what gzip reads of the packed file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = cast(BufferedIOBase, file)
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.count += len(chunk)
        return chunk

    def read1(self, size: int) -> bytes | memoryview:
        """Read what is there."""
        chunk = self._file.read1(size)
        self.count += len(chunk)
        return chunk

"""The tar stream in a layer's file: decompressed and hashed by a thread while another one unpacks."""

from __future__ import annotations

import gzip
import hashlib
import io
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from bacalhau_jupyter.models.errors import ConfigurationError

BLOCK = 1 << 20
_AHEAD = 8
GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
EXTRA = "images"


class BrokenDataError(ValueError):
    """Compressed data is broken."""


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count
        self.sha256 = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.sha256.update(chunk)
        self.size += len(chunk)
        self._count(len(chunk))
        return len(chunk)


class LayerStream:
    """What a layer's file holds, read ahead by a thread; use it in a ``with`` block.

    Parameters
    ----------
    count
        Gets the number of compressed bytes at each read; called in the thread.

    Attributes
    ----------
    digest, diff_id
        Hex SHA-256 of the file and of its contents, once all is read.
    size
        Bytes of the file, then.

    Raises
    ------
    ConfigurationError
        It is zstd, and nothing here can read that.
    """

    def __init__(self, path: Path, count: Callable[[int], None]) -> None:
        self.digest = self.diff_id = ""
        self.size = 0
        self._file = path.open("rb", buffering=0)
        self._packed = _Hashed(cast(BinaryIO, self._file), count)
        magic = self._file.read(4)
        self._file.seek(0)
        try:
            self._plain = _decoder(magic, self._packed)
        except BaseException:
            self._file.close()
            raise
        self._blocks: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._left = False
        self._block = memoryview(b"")
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="layer", daemon=True)

    def __enter__(self) -> LayerStream:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        while self._thread.is_alive():
            # It may wait for room.
            try:
                self._blocks.get(timeout=0.01)
            except queue.Empty:
                continue
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, ``size`` of them unless it ends.

        Raises
        ------
        BrokenDataError, OSError
            The compressed data is broken, or can't be read.
        """
        if 0 <= size <= len(self._block):
            piece, self._block = bytes(self._block[:size]), self._block[size:]
            return piece
        pieces = []
        while size != 0 and (self._block or self._next()):
            piece = bytes(self._block if size < 0 else self._block[:size])
            self._block = self._block[len(piece) :]
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """Return what is there of the next ``size`` bytes: at least one of them, unless it ends. Raises as `read`."""
        if not self._block and not self._next():
            return b""
        return self.read(len(self._block) if size < 0 else min(size, len(self._block)))

    def finish(self) -> None:
        """Read to the end, so that the digests are known."""
        while self._next():
            pass

    def _next(self) -> bool:
        if self._ended:
            return False
        block = self._blocks.get()
        if isinstance(block, BaseException):
            self._ended = True
            raise block
        self._block = memoryview(block)
        self._ended = not block
        return not self._ended

    def _run(self) -> None:
        try:
            plain = hashlib.sha256()
            while not self._left and (block := self._plain.read(BLOCK)):
                self._blocks.put(block)
                plain.update(block)
            while not self._left and self._packed.read(BLOCK):
                # What follows the compressed data belongs to the file's digest.
                pass
            self.digest, self.diff_id = self._packed.sha256.hexdigest(), plain.hexdigest()
            self.size = self._packed.size
            self._blocks.put(b"")
        except Exception as error:
            # Each way of compressing has errors of its own.
            is_disk = isinstance(error, OSError) and error.errno is not None
            self._blocks.put(error if is_disk else BrokenDataError(str(error) or type(error).__name__))


def _decoder(magic: bytes, packed: _Hashed) -> Any:
    if magic.startswith(GZIP):
        return _gzip(packed)
    if magic == _ZSTD or (magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        return _zstd(packed)
    return packed


def _gzip(packed: _Hashed) -> Any:
    try:
        from isal import igzip
    except ImportError:
        return gzip.GzipFile(fileobj=cast(BinaryIO, io.BufferedReader(packed, BLOCK)))
    opened: Any = igzip.IGzipFile
    return opened(fileobj=io.BufferedReader(packed, BLOCK))


def _zstd(packed: _Hashed) -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise ConfigurationError(
            "the image has layers that are compressed with zstd, which this node can't read",
            hint=f'pip install "bacalhau-jupyter[{EXTRA}]" into the node\'s environment',
            component="Images",
        ) from None
    return zstd.ZstdFile(cast(Any, packed))

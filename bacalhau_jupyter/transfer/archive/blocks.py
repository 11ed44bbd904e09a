"""Blocks: a stream cut into gzip members that are packed in parallel and can be unpacked each on its own.

Any gzip reader sees one stream, since a gzip file may have many members. ISA-L (package ``isal``) packs four to
ten times as fast as zlib and is used where it is installed; blocks that do not shrink are stored.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, BinaryIO

_codec: Any
try:
    from isal import isal_zlib as _codec
except ImportError:
    _codec = zlib

BLOCK = 1 << 20
"""Bytes of the stream in a block: what has to be fetched to read a single byte."""

OVERHEAD = 18
"""Bytes of a gzip member around its data."""

_LEVEL = 1
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_STORED = 65_535
_STORED_HEAD = 5
_PIECES = 4
_PIECE = 8192
_WORTH_STORING = 0.95
_MAX_WORKERS = 8


class BrokenBlock(Exception):
    """A block is not what it should be; the text says how."""


def deflate(data: bytes | bytearray | memoryview) -> bytes:
    """Return a gzip member that holds ``data`` (at most 4 GiB)."""
    packed = b"" if _is_dense(data) else _squeeze(data)
    if not packed or len(packed) > _WORTH_STORING * len(data):
        return store(data)
    return _member(data, packed)


def store(data: bytes | bytearray | memoryview) -> bytes:
    """Return a gzip member that holds ``data`` as it is: its length depends on nothing but that of the data."""
    return _member(data, _stored(data))


def stored_size(count: int) -> int:
    """Return the length of what `store` makes of so many bytes."""
    return OVERHEAD + count + _STORED_HEAD * max(1, -(-count // _STORED))


def shrinks_to(sample: bytes) -> float:
    """Return which part of its length a sample takes when it is packed."""
    return len(_squeeze(sample)) / max(1, len(sample))


def _member(data: bytes | bytearray | memoryview, packed: bytes) -> bytes:
    return b"".join((_HEADER, packed, struct.pack("<II", _codec.crc32(data), len(data))))


def _squeeze(data: bytes | bytearray | memoryview) -> bytes:
    compressor = _codec.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed: bytes = compressor.compress(data) + compressor.flush()
    return packed


def _is_dense(data: bytes | bytearray | memoryview) -> bool:
    """Whether pieces from all over the block hardly shrink."""
    if len(data) < 2 * _PIECES * _PIECE:
        return False
    view = memoryview(data)
    step = len(data) // _PIECES
    sample = b"".join(view[at : at + _PIECE] for at in range(0, step * _PIECES, step))
    return shrinks_to(sample) > _WORTH_STORING


def _stored(data: bytes | bytearray | memoryview) -> bytes:
    """Write deflate's stored blocks: nothing but lengths is added."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    for at in range(0, len(data) or 1, _STORED):
        piece = view[at : at + _STORED]
        last = at + _STORED >= len(data)
        parts += [struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece]
    return b"".join(parts)


def inflate(member: bytes, size: int) -> bytes:
    """Unpack one gzip member that must hold exactly ``size`` bytes; its checksum is compared.

    Raises
    ------
    BrokenBlock
        It is cut, damaged, or holds more or less.
    """
    unpacker = _codec.decompressobj(16 + zlib.MAX_WBITS)
    try:
        # One byte more than it may hold shows whether it holds more, however large it would become.
        plain: bytes = unpacker.decompress(member, size + 1)
    except (zlib.error, _codec.error) as error:
        raise BrokenBlock(str(error)) from error
    if not unpacker.eof or len(plain) != size or unpacker.unused_data:
        raise BrokenBlock(f"it does not hold the {size} bytes that it should")
    return plain


class BlockWriter:
    """Cuts what is written into blocks and writes them packed, in order. Blocking; use it as a context.

    Attributes
    ----------
    position
        Bytes of the stream so far.
    packed
        Packed size of each block; whole after `finish`.
    """

    def __init__(self, file: BinaryIO, block: int = BLOCK, workers: int | None = None) -> None:
        self.block = block
        self.position = 0
        self.packed: list[int] = []
        self._file = file
        self._workers = workers or min(_MAX_WORKERS, _cores())
        self._buffer = bytearray(block)
        self._used = 0
        self._spare: list[bytearray] = []
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[tuple[Future[bytes], bytearray]] = deque()

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            count = min(len(view), self.block - self._used)
            self._buffer[self._used : self._used + count] = view[:count]
            self._advance(count)
            view = view[count:]

    def take(self, source: Any, most: int) -> int:
        """Append up to ``most`` bytes straight from a raw file; return how many there were (0: its end)."""
        room = memoryview(self._buffer)[self._used : min(self._used + most, self.block)]
        count: int = source.readinto(room) or 0
        room.release()
        self._advance(count)
        return count

    def leave_out(self, count: int) -> int:
        """Count blocks that are not written, because their data is kept elsewhere; return where they would begin.

        They are of the form that `store` gives them. What was written before ends at the end of a block.
        """
        if self._used:
            raise ValueError("only whole blocks can be left out")
        while self._pending:
            self._collect()
        begin = sum(self.packed)
        self.packed += [stored_size(self.block)] * count
        self.position += count * self.block
        return begin

    def finish(self) -> None:
        """Write what is left."""
        if self._pool is None and self._used:
            # A small archive needs no threads.
            self._put(deflate(memoryview(self._buffer)[: self._used]))
        elif self._used:
            self._hand_over()
        while self._pending:
            self._collect()

    def _advance(self, count: int) -> None:
        self._used += count
        self.position += count
        if self._used == self.block:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="packing")
        data = memoryview(self._buffer)[: self._used]
        self._pending.append((self._pool.submit(deflate, data), self._buffer))
        # The oldest is waited for while each worker still has one in hand: memory stays bounded.
        while len(self._pending) > self._workers + 1 or (self._pending and self._pending[0][0].done()):
            self._collect()
        self._buffer = self._spare.pop() if self._spare else bytearray(self.block)
        self._used = 0

    def _collect(self) -> None:
        future, buffer = self._pending.popleft()
        self._put(future.result())
        self._spare.append(buffer)

    def _put(self, member: bytes) -> None:
        self._file.write(member)
        self.packed.append(len(member))


def _cores() -> int:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""The index of an archive: where its blocks and files are, kept where no unpacker sees it.

A gzip member may be empty and still carry an extra field of up to 64 kB, which every reader skips. After the last
block stand such members with the index, and one of fixed size that says where they begin; unpacked, the archive is
byte for byte a plain tar. (The idea is that of eStargz; the layout is ours.)

An index is as trustworthy as its archive, that is, not at all: names keep the rules of unpacking, and sizes and
places must fit each other and the file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from bacalhau_jupyter.transfer.archive.blocks import OVERHEAD, BlockWriter
from bacalhau_jupyter.transfer.core.entry_names import refused, safe_name
from bacalhau_jupyter.transfer.core.links import is_plain_link
from bacalhau_jupyter.transfer.core.readers import EntryKind

VERSION = 1
MAX_ENTRIES = 1_000_000

_MEMBER = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_EMPTY = b"\x03\x00" + bytes(8)
_CHUNK_ID, _FOOTER_ID = b"bj", b"bJ"
_CHUNK = 65_535 - 4
_AROUND = len(_MEMBER) + 2 + 4 + len(_EMPTY)
_FOOTER = struct.Struct("<8sHQQQI")
_MAGIC = b"bacalhau"
FOOTER_SIZE = _AROUND + _FOOTER.size
_MAX_PACKED, _MAX_PLAIN = 128 << 20, 512 << 20
_MAX_BLOCK = 64 << 20
_TAR_BLOCK = 512
_KINDS = (EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.LINK)


@dataclass(frozen=True)
class ArchiveEntry:
    """One member of an archive; ``offset`` is where a file's contents begin in the unpacked stream."""

    path: str
    kind: EntryKind
    mode: int = 0o644
    mtime: int = 0
    size: int = 0
    offset: int = 0
    target: str = ""


@dataclass(frozen=True)
class ArchiveIndex:
    """Where everything is.

    Attributes
    ----------
    block
        Bytes of the stream in each block but the last.
    plain
        Bytes of the stream in all.
    starts
        Where each block begins in the file, and, last, where they end.
    """

    block: int
    plain: int
    starts: Sequence[int]
    entries: Sequence[ArchiveEntry]

    def blocks(self, start: int, stop: int) -> range:
        """Return the numbers of the blocks that hold the bytes ``start`` to ``stop`` of the stream."""
        return range(start // self.block, -(-stop // self.block)) if stop > start else range(0)

    def size_of(self, number: int) -> int:
        """Return how many bytes of the stream a block holds."""
        return min(self.block, self.plain - number * self.block)


@dataclass(frozen=True)
class Footer:
    """What the last member says: where the index begins, its packed and its plain length, and its checksum."""

    start: int
    packed: int
    plain: int
    crc: int


class _Entry(msgspec.Struct, array_like=True):
    path: bytes
    kind: int
    mode: int
    mtime: int
    size: int
    offset: int
    target: bytes


class _Index(msgspec.Struct, array_like=True):
    block: int
    plain: int
    packed: list[int]
    entries: list[_Entry]


def trailer(writer: BlockWriter, entries: Sequence[ArchiveEntry]) -> bytes:
    """Return the empty members to append to what a finished writer wrote; nothing for too many entries."""
    if len(entries) > MAX_ENTRIES:
        return b""
    listed = [
        _Entry(
            path=os.fsencode(entry.path),
            kind=_KINDS.index(entry.kind),
            mode=entry.mode,
            mtime=entry.mtime,
            size=entry.size,
            offset=entry.offset,
            target=os.fsencode(entry.target),
        )
        for entry in entries
    ]
    plain = msgspec.msgpack.encode(_Index(writer.block, writer.position, writer.packed, listed))
    payload = zlib.compress(plain, 6)
    if len(plain) > _MAX_PLAIN or len(payload) > _MAX_PACKED:
        return b""
    chunks = [_member(_CHUNK_ID, payload[at : at + _CHUNK]) for at in range(0, len(payload), _CHUNK)]
    footer = _FOOTER.pack(_MAGIC, VERSION, sum(writer.packed), len(payload), len(plain), zlib.crc32(payload))
    return b"".join((*chunks, _member(_FOOTER_ID, footer)))


def _member(field: bytes, data: bytes) -> bytes:
    head = struct.pack("<H2sH", len(data) + 4, field, len(data))
    return b"".join((_MEMBER, head, data, _EMPTY))


def parse_footer(tail: bytes, size: int) -> Footer | None:
    """Find out from an archive's last bytes whether it has an index; None: it has none that we know.

    Parameters
    ----------
    tail
        At least the last `FOOTER_SIZE` bytes of the file, if it has so many.
    size
        Bytes of the file.

    Raises
    ------
    IOFailure
        It points to where no index can be.
    """
    data = tail[-FOOTER_SIZE:]
    content = data[len(_MEMBER) + 6 : -len(_EMPTY)]
    if len(content) != _FOOTER.size or data != _member(_FOOTER_ID, content):
        return None
    magic, version, start, packed, plain, crc = _FOOTER.unpack(content)
    if magic != _MAGIC or version != VERSION:
        return None
    chunks = -(-packed // _CHUNK)
    if start + packed + chunks * _AROUND + FOOTER_SIZE != size or packed > _MAX_PACKED or plain > _MAX_PLAIN:
        raise refused("its index is not where it should be")
    return Footer(start, packed, plain, crc)


def parse_index(data: bytes, footer: Footer, *, max_members: int, max_bytes: int) -> ArchiveIndex:
    """Read the index from the bytes of the file between `Footer.start` and the footer.

    Raises
    ------
    IOFailure
        It is damaged, contradicts itself or the file, breaks the rules of names, or goes beyond the limits.
    """
    index = _decode(_payload(data, footer), footer)
    blocks = -(-index.plain // index.block) if index.block > 0 else -1
    starts = list(accumulate(index.packed, initial=0))
    most = index.block + index.block // 64 + 1024
    if (
        not 0 < index.block <= _MAX_BLOCK
        or index.plain < 0
        or blocks != len(index.packed)
        or starts[-1] != footer.start
        or any(not OVERHEAD < packed <= most for packed in index.packed)
    ):
        raise refused("its index contradicts the file")
    if len(index.entries) > max_members:
        raise refused(f"it holds more than {max_members} members")
    return ArchiveIndex(index.block, index.plain, starts, _entries(index, max_bytes))


def _payload(data: bytes, footer: Footer) -> bytes:
    parts, at = [], 0
    for left in range(footer.packed, 0, -_CHUNK):
        count = min(left, _CHUNK)
        part = data[at + len(_MEMBER) + 6 : at + len(_MEMBER) + 6 + count]
        if data[at : at + count + _AROUND] != _member(_CHUNK_ID, part):
            raise refused("its index is damaged")
        parts.append(part)
        at += count + _AROUND
    payload = b"".join(parts)
    if zlib.crc32(payload) != footer.crc:
        raise refused("its index is damaged")
    return payload


def _decode(payload: bytes, footer: Footer) -> _Index:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(payload, footer.plain + 1)
        if len(plain) != footer.plain or not unpacker.eof:
            raise refused("its index is damaged")
        return msgspec.msgpack.decode(plain, type=_Index)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise refused("its index is damaged") from error


def _entries(index: _Index, max_bytes: int) -> list[ArchiveEntry]:
    directories, names = {""}, {""}
    entries: list[ArchiveEntry] = []
    end = total = 0
    for item in index.entries:
        path, target = os.fsdecode(item.path), os.fsdecode(item.target)
        parent = path.rpartition("/")[0]
        if safe_name(path) != path or path in names or not 0 <= item.kind < len(_KINDS):
            raise refused(f"its index holds a wrong or second {path[:80]!r}")
        if parent not in directories:
            raise refused(f"{path!r} would be written through {parent!r}, which is not a directory")
        names.add(path)
        kind = _KINDS[item.kind]
        if kind is EntryKind.FILE:
            total += item.size
            if total > max_bytes:
                raise refused(f"it unpacks to more than {max_bytes} bytes")
            # Files stand one after the other, each behind its header, so none can be counted twice.
            if item.offset % _TAR_BLOCK or item.offset < end + _TAR_BLOCK or item.size < 0:
                raise refused(f"its index has a wrong place for {path!r}")
            end = item.offset + item.size
            if end > index.plain:
                raise refused(f"its index has a wrong place for {path!r}")
        elif kind is EntryKind.DIRECTORY:
            directories.add(path)
        elif not is_plain_link(parent, target):
            raise refused(f"the link {path!r} points outside, to {target!r}")
        entries.append(
            ArchiveEntry(
                path,
                kind,
                mode=item.mode & 0o777,
                mtime=min(max(0, item.mtime), 1 << 40),
                size=item.size if kind is EntryKind.FILE else 0,
                offset=item.offset if kind is EntryKind.FILE else 0,
                target=target if kind is EntryKind.LINK else "",
            )
        )
    return entries

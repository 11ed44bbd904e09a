"""Archives that strangers have made or changed: refused in a sentence, and nothing is left."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.transfer.archive import index as layout
from bacalhau_jupyter.transfer.archive.blocks import BlockWriter
from bacalhau_jupyter.transfer.archive.index import ArchiveEntry, trailer
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.archive.unpacking import Limits
from bacalhau_jupyter.transfer.core.readers import EntryKind
from tests.transfer.archive.reading import MemoryRanges, made, packed, sample
from tests.transfer.helpers import member, names, tar_gz


@pytest.mark.parametrize("at", [20, 3_000_000, -30, -200])
async def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, at: int) -> None:
    data = bytearray(packed(sample(tmp_path / "source")))
    data[at] ^= 0x10
    reader = ArchiveReader(MemoryRanges(bytes(data), piece=1 << 20))
    with pytest.raises(IOFailure):
        await reader.save(made(tmp_path / "out"))
    assert names(tmp_path / "out") == []
    await reader.close()


def forged(entries: list[ArchiveEntry], plain: bytes = bytes(4096), **changes: Any) -> bytes:
    """Build an archive whose index says what a test wants it to say."""
    out = io.BytesIO()
    with BlockWriter(out, changes.pop("block", 4096)) as writer:
        writer.write(plain)
        writer.finish()
    for name, value in changes.items():
        setattr(writer, name, value)
    return out.getvalue() + trailer(writer, entries)


FILE, DIRECTORY, LINK = EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.LINK
HOSTILE: dict[str, tuple[list[ArchiveEntry], dict[str, Any], str]] = {
    "climbs": ([ArchiveEntry("../x", FILE, size=1, offset=512)], {}, "leads outside"),
    "absolute": ([ArchiveEntry("/etc/x", FILE, size=1, offset=512)], {}, "not a relative path"),
    "dotted": ([ArchiveEntry("./a", FILE, size=1, offset=512)], {}, "wrong or second"),
    "empty name": ([ArchiveEntry("", FILE, size=1, offset=512)], {}, "wrong or second"),
    "twice": ([ArchiveEntry("a", DIRECTORY), ArchiveEntry("a", DIRECTORY)], {}, "wrong or second 'a'"),
    "link out": ([ArchiveEntry("a", LINK, target="../../etc")], {}, "points outside"),
    "through a link": (
        [ArchiveEntry("a", LINK, target="b"), ArchiveEntry("a/b", DIRECTORY)],
        {},
        "written through",
    ),
    "beyond the end": ([ArchiveEntry("a", FILE, size=9000, offset=512)], {}, "wrong place"),
    "negative size": ([ArchiveEntry("a", FILE, size=-1, offset=512)], {}, "wrong place"),
    "before its header": ([ArchiveEntry("a", FILE, size=1, offset=0)], {}, "wrong place"),
    "bytes counted twice": (
        [ArchiveEntry("a", FILE, size=2048, offset=512), ArchiveEntry("b", FILE, size=2048, offset=1024)],
        {},
        "wrong place",
    ),
    "too large": ([ArchiveEntry("a", FILE, size=1 << 40, offset=512)], {"position": 1 << 41}, "contradicts"),
    "blocks that are not there": ([], {"packed": [10**9]}, "not where it should be"),
    "too few blocks": ([], {"position": 10**9}, "contradicts the file"),
    "no block size": ([], {"block": 4096, "position": 0}, "contradicts the file"),
    "contents of something else": ([ArchiveEntry("a", FILE, size=10, offset=512)], {}, "disagree about 'a'"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_index_that_lies_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    entries, changes, says = HOSTILE[name]
    reader = ArchiveReader(MemoryRanges(forged(entries, **changes)))
    with pytest.raises(IOFailure, match=says):
        await reader.save(made(tmp_path / "out"))
    assert names(tmp_path / "out") == []


async def test_indexes_and_archives_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    for limits, says in (
        (Limits(max_bytes=1000), "more than 1000 bytes"),
        (Limits(max_members=3), "more than 3"),
    ):
        with pytest.raises(IOFailure, match=says):
            await ArchiveReader(MemoryRanges(packed(source)), limits=limits).entries()
    # An index that unpacks to far more than it says.
    bomb = zlib.compress(bytes(50_000_000))
    out = layout._member(layout._CHUNK_ID, bomb)
    footer = layout._FOOTER.pack(layout._MAGIC, 1, 0, len(bomb), 1000, zlib.crc32(bomb))
    with pytest.raises(IOFailure, match="index is damaged"):
        await ArchiveReader(MemoryRanges(out + layout._member(layout._FOOTER_ID, footer))).entries()
    # A version of tomorrow is an archive without an index to us.
    footer = layout._FOOTER.pack(layout._MAGIC, 2, 0, 0, 0, 0)
    later = tar_gz((member("a"), b"x")) + layout._member(layout._FOOTER_ID, footer)
    reader = ArchiveReader(MemoryRanges(later))
    assert [entry.path for entry in await reader.entries()] == ["a"]
    await reader.close()


async def test_a_hostile_archive_without_an_index_leaves_nothing(tmp_path: Path) -> None:
    for hostile in (tar_gz((member("../x"), b"x")), b"nonsense", b""):
        reader = ArchiveReader(MemoryRanges(hostile), name="the result of j-1")
        with pytest.raises(IOFailure, match="the result of j-1"):
            await reader.entries()
        with pytest.raises(IOFailure):
            await reader.save(tmp_path)
        assert names(tmp_path) == []
        await reader.close()

"""Archives to read from, and a reader's view of them."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader


@dataclass
class MemoryRanges:
    """Bytes in memory that count what is read of them."""

    data: bytes
    read_bytes: int = 0
    piece: int = 1000
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def size(self) -> int:
        return len(self.data)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        assert 0 <= start <= stop <= len(self.data)
        self.asked.append((start, stop))
        for at in range(start, stop, self.piece):
            chunk = self.data[at : min(at + self.piece, stop)]
            self.read_bytes += len(chunk)
            yield chunk


def packed(directory: Path, **options: Any) -> bytes:
    out = io.BytesIO()
    pack_into(directory, out, **options)
    return out.getvalue()


async def contents(reader: ArchiveReader, path: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in reader.read(path, start, stop)])


def sample(root: Path) -> Path:
    """A result with everything in it, incompressible for the most part, about 5 MB."""
    (root / "outputs/deep").mkdir(parents=True)
    (root / "stdout").write_text("hello\n")
    (root / "empty").touch()
    (root / "outputs/big.bin").write_bytes(os.urandom(5_000_000))
    (root / "outputs/deep/table.csv").write_bytes(b"a,b\n1,2\n" * 1000)
    (root / "outputs/deep" / ("long" * 40)).write_bytes(b"x" * 700)
    (root / "outputs/grüße.txt").write_text("ü")
    (root / "outputs/link").symlink_to("deep/table.csv")
    (root / "outputs/deep/run.sh").write_text("#!/bin/sh\n")
    (root / "outputs/deep/run.sh").chmod(0o755)
    return root


def made(path: Path) -> Path:
    path.mkdir()
    return path

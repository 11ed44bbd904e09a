"""A file whose reader is cancelled as it is opened."""

from __future__ import annotations

import asyncio
import threading
from io import FileIO
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.threads import files
from bacalhau_jupyter.lib.threads.files import opened
from bacalhau_jupyter.transfer.archive.ranges import FileRanges
from tests.services.waiting import until


async def test_it_is_opened_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with await opened(tmp_path / "file") as file:
        assert file.read() == b"content"
    with pytest.raises(FileNotFoundError):
        await opened(tmp_path / "none")


async def test_nobody_leaves_it_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    made: list[FileIO] = []
    is_open, may_go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> FileIO:
        made.append(path.open("rb", buffering=0))
        is_open.set()
        assert may_go_on.wait(60)
        return made[0]

    monkeypatch.setattr(files, "_open", slow)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in FileRanges(tmp_path / "file").read(0, 7)])

    reading = asyncio.create_task(read())
    await until(is_open.is_set)
    reading.cancel()
    asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert made[0].closed

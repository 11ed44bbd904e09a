"""A new directory whose caller is cancelled."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.threads.directories import new_directory
from tests.services.waiting import until


async def test_it_is_made_where_it_belongs(tmp_path: Path) -> None:
    made = await new_directory(".part-", tmp_path)
    assert (made.parent, made.name.startswith(".part-"), made.is_dir()) == (tmp_path, True, True)


async def test_nothing_stays_of_a_caller_that_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, may_end = threading.Event(), threading.Event()
    make = tempfile.mkdtemp

    def slow(prefix: str, dir: Path) -> str:
        name = make(prefix=prefix, dir=dir)
        made.set()
        assert may_end.wait(60)
        return name

    monkeypatch.setattr(tempfile, "mkdtemp", slow)
    caller = asyncio.create_task(new_directory(".part-", tmp_path))
    await until(made.is_set)
    caller.cancel()
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert list(tmp_path.iterdir()) == []

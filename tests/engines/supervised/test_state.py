"""The directory of an execution: who looks at it while it is made disturbs nobody."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised.state import State


def test_it_is_made_although_somebody_looks_whether_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path, "e-1")
    lock, looking = fcntl.flock, list[int]()

    def flock(descriptor: int, how: int) -> None:
        # Just before it is locked, another process looks, and holds it for an instant.
        if how & fcntl.LOCK_EX:
            with contextlib.suppress(FileNotFoundError):
                looking.append(os.open(state.path / "lock", os.O_RDWR))
                lock(looking[0], fcntl.LOCK_SH | fcntl.LOCK_NB)
        lock(descriptor, how)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        held = state.create()
    assert state.is_alive()
    os.close(held)
    assert not state.is_alive()
    for each in looking:
        os.close(each)


def test_none_is_made_twice(tmp_path: Path) -> None:
    state = State(tmp_path, "e-1")
    held = state.create()
    with pytest.raises(FileExistsError):
        state.create()
    assert state.is_alive()
    os.close(held)

"""Waiting for what can only be asked: with a limit each, for things that push no event."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


async def settled(measure: Callable[[], int]) -> int:
    """Return a growing figure once it has stood still for a while (at the latest after thirty seconds)."""
    async with asyncio.timeout(30):
        before = -1
        while (now := measure()) != before:
            before = now
            await asyncio.sleep(0.25)
    return before


async def until(ready: Callable[[], Any], timeout_s: float = 60) -> None:
    """Wait for what another process does; asks again until it is true. `ready` may be a coroutine function."""
    async with asyncio.timeout(timeout_s):
        while True:
            answer = ready()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.02)


def found(root: Path, pattern: str) -> list[Path]:
    """Do what `Path.rglob` does, but in a directory that others change meanwhile, where that one fails."""
    paths = (Path(place, name) for place, *names in os.walk(root) for name in itertools.chain(*names))
    return [path for path in paths if path.match(pattern)]


def held(before: str, after: str = "true") -> str:
    """Return the script of a job that does one thing, and the other once `let_go` was called.

    What such a job shows meanwhile is seen on a slow machine, too.
    """
    return f"echo > outputs/held; {before}; until [ -e outputs/go ]; do sleep 0.1; done; {after}"


def let_go(repo: Path) -> None:
    """Let the jobs of a node go on that wait for it, after they have made ``outputs/held``."""
    for mark in found(repo, "outputs/held"):
        # One that has ended takes its directory along.
        with contextlib.suppress(FileNotFoundError):
            (mark.parent / "go").touch()


async def lasts(seconds: float) -> None:
    """Let a fault of a certain length last: what is tested is what happens meanwhile."""
    await asyncio.sleep(max(0.0, seconds))

"""What compiling a module may take, and who waits for whom: by the size of the module, which its author chose."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

AT_ONCE = 2
SMALL = 1 << 20
"""Bytes that a module may have to be compiled while others take all places."""

_CPU_S = 20
_CPU_S_PER_MIB = 3
_MIB = 1 << 20


def cpu_seconds(size: int) -> int:
    """Return how many seconds of processor time compiling a module of so many bytes may take."""
    return _CPU_S + _CPU_S_PER_MIB * -(-size // _MIB)


class Places:
    """Places to compile: some for everybody, and one more for small modules."""

    def __init__(self) -> None:
        self.general = asyncio.Semaphore(AT_ONCE)
        self.small = asyncio.Semaphore(1)

    @contextlib.asynccontextmanager
    async def one(self, size: int) -> AsyncIterator[None]:
        """Wait for a place for a module of so many bytes, and hold it."""
        async with self.small if size <= SMALL and self.general.locked() else self.general:
            yield

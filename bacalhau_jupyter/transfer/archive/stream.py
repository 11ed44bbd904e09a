"""The unpacked stream of an archive with an index, read from anywhere: only the blocks that are needed are fetched."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

from bacalhau_jupyter.models.errors import IOFailure, NetworkFailure
from bacalhau_jupyter.transfer.archive.blocks import BrokenBlock, inflate
from bacalhau_jupyter.transfer.archive.index import ArchiveIndex
from bacalhau_jupyter.transfer.archive.ranges import Ranges

_AHEAD = 3
_KEPT = 4


class ArchiveStream:
    """Reads parts of the stream; every block's checksum is compared.

    Attributes
    ----------
    index
        Where the blocks are.
    """

    def __init__(self, ranges: Ranges, index: ArchiveIndex, name: str) -> None:
        self.index = index
        self._ranges = ranges
        self._name = name
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part of the unpacked stream."""
        blocks = self.index.blocks(start, stop)
        async for number, data in self._blocks(blocks):
            begin = number * self.index.block
            if number in (blocks[0], blocks[-1]):
                # The next read starts in the block where this part ends.
                self._kept[number] = data
                self._kept.move_to_end(number)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            yield data[max(0, start - begin) : stop - begin]

    async def _blocks(self, numbers: range) -> AsyncIterator[tuple[int, bytes]]:
        while numbers and numbers[0] in self._kept:
            yield numbers[0], self._kept[numbers[0]]
            numbers = numbers[1:]
        if not numbers:
            return
        # Some blocks are unpacked in threads while the next ones arrive.
        ahead: deque[tuple[int, asyncio.Future[bytes]]] = deque()
        loop = asyncio.get_running_loop()
        try:
            async for number, member in self._members(numbers):
                future = loop.run_in_executor(None, inflate, member, self.index.size_of(number))
                # A reader that stops early never requests the rest.
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
                ahead.append((number, future))
                if len(ahead) >= _AHEAD:
                    number, future = ahead.popleft()
                    yield number, await future
            while ahead:
                number, future = ahead.popleft()
                yield number, await future
        except BrokenBlock as error:
            raise IOFailure(
                f"{self._name} is damaged: {error}",
                hint="fetch it again; if the error remains, the stored archive is damaged",
            ) from error

    async def _members(self, numbers: range) -> AsyncIterator[tuple[int, bytes]]:
        buffer = bytearray()
        number = numbers[0]
        async for chunk in self._ranges.read(self.index.starts[number], self.index.starts[numbers[-1] + 1]):
            buffer += chunk
            while number in numbers and len(buffer) >= (
                count := self.index.starts[number + 1] - self.index.starts[number]
            ):
                member = bytes(buffer[:count])
                del buffer[:count]
                yield number, member
                number += 1
        if number in numbers or buffer:
            raise NetworkFailure(f"{self._name} broke off before its end")

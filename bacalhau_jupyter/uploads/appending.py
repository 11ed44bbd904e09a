"""Bytes as they come, to the end of a draft."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from bacalhau_jupyter.lib.threads.whole import whole
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.uploads.drafts import Draft, DraftFiles

_BLOCK = 1 << 20


async def append_to(drafts: DraftFiles, draft: Draft, offset: int, chunks: AsyncIterator[bytes]) -> int:
    """Write to the end of a draft; return how many bytes it has then. What came before a failure stays.

    Raises
    ------
    BadRequest
        More comes than was announced.
    OSError
        The disk is full, say.
    """
    opened = drafts.appending(draft.id)
    descriptor = await asyncio.to_thread(opened.__enter__)
    try:
        return await write_all(descriptor, chunks, offset, draft.size, f"the upload {draft.name}")
    finally:
        await whole(opened.__exit__, None, None, None)


async def write_all(descriptor: int, chunks: AsyncIterator[bytes], offset: int, most: int, what: str) -> int:
    """Write to the end of a file of ``offset`` bytes; return how many it has then. What came before a failure stays.

    Parameters
    ----------
    most
        Bytes that it may have at the end; less than 0 for any number.
    what
        What is written, for the error.

    Raises
    ------
    BadRequest
        More comes.
    OSError
        The disk is full, say.
    """
    pending = bytearray()
    try:
        async for chunk in chunks:
            if offset + len(pending) + len(chunk) > most >= 0:
                raise BadRequest(f"more bytes came for {what} than the {most:,} that were announced")
            pending += chunk
            if len(pending) >= _BLOCK:
                block, pending = pending, bytearray()
                await whole(_write, descriptor, block)
                offset += len(block)
    finally:
        # Also when the sender is gone: the next range begins where this one really ended.
        if pending:
            await whole(_write, descriptor, pending)
            offset += len(pending)
    return offset


def _write(descriptor: int, block: bytearray) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]

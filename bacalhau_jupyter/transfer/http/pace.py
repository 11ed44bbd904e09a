"""How slow a server may be: one that sends a byte now and then is never silent, and never done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bacalhau_jupyter.models.jobs.units import format_bytes


@dataclass(frozen=True)
class Pace:
    """The least that has to come.

    Attributes
    ----------
    rate
        Bytes a second, on the average of each span.
    span_s
        Seconds of waiting for the server over which it is averaged. A body that is whole earlier was fast enough.
    """

    rate: int
    span_s: float


class TooSlow(TimeoutError):
    """A server does not keep the pace; the text completes "GET url …"."""


async def paced(pieces: AsyncIterator[bytes], pace: Pace | None) -> AsyncIterator[bytes]:
    """Pass on the pieces of a body; time that is spent on them here does not count.

    Raises
    ------
    TooSlow
        They come too slowly.
    """
    loop = asyncio.get_running_loop()
    came, waited_s = 0, 0.0
    while True:
        began_s = loop.time()
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            return
        came += len(piece)
        waited_s += loop.time() - began_s
        if pace is not None and waited_s >= pace.span_s:
            least = int(pace.rate * waited_s)
            if came < least:
                raise TooSlow(
                    f"sent only {format_bytes(came)} in {waited_s:.0f} s, where {format_bytes(least)} are the least"
                )
            came, waited_s = 0, 0.0
        yield piece

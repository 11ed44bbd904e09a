"""The body of a request as it comes, from a sender who must keep a pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from aiohttp import web

from bacalhau_jupyter.models.errors import BadRequest

IDLE_S = 30.0
"""Seconds for which a sender may send nothing."""

SLOWEST = 4096
"""Bytes a second that a sender has to reach, on average, after `IDLE_S`."""


async def chunks_of(request: web.Request, *, hint: str, idle_s: float = IDLE_S) -> AsyncIterator[bytes]:
    """Yield the body as it comes.

    Parameters
    ----------
    hint
        What to do when it came too slowly.
    idle_s
        Seconds for which a sender may send nothing.

    Raises
    ------
    BadRequest
        It ended early, or is not encoded as its headers say; with status 408, it comes too slowly.
    """
    began, count = time.monotonic(), 0
    try:
        while True:
            async with asyncio.timeout(idle_s):
                chunk = await request.content.readany()
            if not chunk:
                return
            count += len(chunk)
            yield chunk
            elapsed_s = time.monotonic() - began
            if elapsed_s > idle_s and count < SLOWEST * (elapsed_s - idle_s):
                raise _too_slow(f"less than {SLOWEST} bytes a second came", hint)
    except TimeoutError:
        raise _too_slow(f"no byte came for {idle_s:.0f} s", hint) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadRequest(
            "the body can't be read: it ended early, or is not encoded as its headers say"
        ) from error


def _too_slow(why: str, hint: str) -> BadRequest:
    return BadRequest(f"the upload came too slowly: {why}", hint=hint, status=408)

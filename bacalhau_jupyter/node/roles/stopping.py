"""Stop parts of the node within a time, each by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 15.0
"""Seconds that each part may take to stop."""


async def bounded(what: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop a part of the node within `STOP_TIMEOUT_S`; a part that fails does not keep the others from stopping."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await stop()
    except TimeoutError:
        log.error("the %s did not stop within %.0f s", what, STOP_TIMEOUT_S)
    except Exception:
        log.exception("the %s failed to stop", what)

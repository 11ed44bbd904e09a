"""Answers of threads that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import Future
from typing import Any

import pytest

from bacalhau_jupyter.plugins.threads import answer_of


async def test_a_failure_after_everybody_has_left_is_no_news() -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    future = Future[None]()

    async def wait(answer: Future[None]) -> None:
        await asyncio.shield(answer_of(answer))

    waiting = asyncio.create_task(wait(future))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    future.set_exception(OSError("closed"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del waiting, future
    gc.collect()
    assert complaints == []


async def test_who_waits_gets_the_failure() -> None:
    future = Future[None]()
    future.set_exception(OSError("closed"))
    with pytest.raises(OSError, match="closed"):
        await asyncio.shield(answer_of(future))

from __future__ import annotations

import asyncio
import threading

import pytest

from bacalhau_jupyter.lib.threads.shared_answer import SharedAnswer
from tests.services.waiting import until


async def test_who_asks_together_shares_an_answer_and_who_comes_later_gets_the_next() -> None:
    rounds, go_on = 0, threading.Event()

    def ask() -> int:
        nonlocal rounds
        rounds += 1
        assert go_on.wait(60)
        return rounds

    answer = SharedAnswer(ask)
    early = [asyncio.create_task(answer.get()) for _ in range(5)]
    await until(lambda: rounds == 1)
    late = [asyncio.create_task(answer.get()) for _ in range(5)]
    await asyncio.sleep(0)
    early.pop().cancel()
    go_on.set()
    assert await asyncio.gather(*early, *late) == [1] * 4 + [2] * 5
    assert await answer.get() == 3


async def test_an_error_is_raised_for_each_and_the_next_one_asks_again() -> None:
    failures = iter([OSError("gone"), None])

    def ask() -> str:
        if (failure := next(failures)) is not None:
            raise failure
        return "there"

    answer = SharedAnswer(ask)
    results = await asyncio.gather(answer.get(), answer.get(), return_exceptions=True)
    assert [str(result) for result in results] == ["gone", "gone"]
    assert await answer.get() == "there"


async def test_a_loop_that_ends_meanwhile_leaves_nobody_waiting() -> None:
    blocked = threading.Event()
    answer = SharedAnswer(lambda: blocked.wait(60))
    asking = asyncio.create_task(answer.get())
    await until(lambda: answer._answering is not None)
    assert answer._answering is not None
    answer._answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    blocked.set()
    assert await answer.get()

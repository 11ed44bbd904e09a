"""Work in threads, when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from bacalhau_jupyter.lib.threads.whole import or_undone, whole
from tests.services.waiting import until


class Work:
    """Returns a number, or raises, when it may."""

    def __init__(self, number: int = 7) -> None:
        self.begun, self.may_end, self.has_ended = (threading.Event() for _ in range(3))
        self.number = number

    def __call__(self) -> int:
        self.begun.set()
        assert self.may_end.wait(60)
        self.has_ended.set()
        if self.number < 0:
            raise OSError("it failed")
        return self.number


async def test_work_ends_before_a_cancelled_caller_goes_on() -> None:
    work = Work()
    caller = asyncio.create_task(whole(work))
    await until(work.begun.is_set)

    caller.cancel()
    asyncio.get_running_loop().call_later(0.01, work.may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert work.has_ended.is_set()


@pytest.mark.parametrize("impatience", [0, 1])
@pytest.mark.parametrize(("number", "undone"), [(7, [7]), (-1, [])])
async def test_what_comes_of_work_is_undone_where_nobody_gets_it(
    number: int, undone: list[int], impatience: int
) -> None:
    work, got = Work(number), list[int]()
    caller = asyncio.create_task(or_undone(got.append, work))
    await until(work.begun.is_set)

    caller.cancel()
    for _ in range(impatience):
        await asyncio.sleep(0)
        caller.cancel()
    asyncio.get_running_loop().call_later(0.01, work.may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert work.has_ended.is_set() or impatience
    await until(lambda: work.has_ended.is_set() and got == undone)


@pytest.mark.parametrize("number", [7, -1])
async def test_a_caller_that_waits_gets_what_comes(number: int) -> None:
    work, undone = Work(number), list[int]()
    work.may_end.set()
    for call in (whole(work), or_undone(undone.append, work)):
        with pytest.raises(OSError, match="it failed") if number < 0 else contextlib.nullcontext():
            assert await call == 7
    assert undone == []

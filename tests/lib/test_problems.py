"""Background work continues after a failure, and lists the problem."""

from __future__ import annotations

import asyncio

import pytest

from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.models.errors import IOFailure


class Clock:
    def __init__(self) -> None:
        self.ns = 10**18

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


def test_a_round_that_fails_is_reported_and_the_next_that_succeeds_clears_it() -> None:
    clock, changes = Clock(), []
    problems = Problems(clock, lambda: changes.append(len(problems.every())))
    for number in range(2):
        clock.ns += 10**9
        with problems.watching("tidying"):
            raise OSError(28, "No space left on device", f"/a/{number}")
    (problem,) = problems.every()
    assert (problem.task, problem.count) == ("tidying", 2)
    assert problem.to_plain() == {
        "Task": "tidying",
        "Message": "[Errno 28] No space left on device: '/a/1'",
        "Since": "2001-09-09T01:46:41Z",
        "Last": "2001-09-09T01:46:42Z",
        "Count": 2,
    }
    with problems.watching("tidying"):
        pass
    assert problems.every() == []
    assert changes == [1, 1, 0]


def test_what_cancels_a_round_goes_through() -> None:
    problems = Problems()
    with pytest.raises(asyncio.CancelledError), problems.watching("tidying"):
        raise asyncio.CancelledError
    assert problems.every() == []


async def test_a_loop_that_fails_is_begun_again_until_it_is_cancelled() -> None:
    problems, rounds, again = Problems(), [], asyncio.Event()

    async def loop() -> None:
        rounds.append(1)
        if len(rounds) < 3:
            raise RecursionError("maximum recursion depth exceeded")
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(problems.keep("housekeeping", loop, (0.01, 0.01)))
    async with asyncio.timeout(30):
        await again.wait()
        (problem,) = problems.every()
        assert (problem.message, problem.count) == ("RecursionError: maximum recursion depth exceeded", 2)
        while problems.every():  # noqa: ASYNC110
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_that_returns_is_over() -> None:
    async def loop() -> None:
        return

    await Problems().keep("once", loop)


def test_a_problem_is_one_short_sentence() -> None:
    assert sentence(IOFailure("the disk is full", hint="free some")) == "the disk is full"
    assert sentence(ValueError("a\n  b")) == "ValueError: a b"
    assert sentence(KeyError()) == "KeyError"
    assert len(sentence("x" * 2000)) == 500

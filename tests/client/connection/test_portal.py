"""Blocking code on top of an event loop thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from bacalhau_jupyter.client.connection.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    made = Portal()
    yield made
    made.close()


def test_a_result_and_an_error_come_back(portal: Portal) -> None:
    async def add() -> int:
        await asyncio.sleep(0)
        return 3

    async def fail() -> None:
        raise ValueError("no")

    assert portal.run(add()) == 3
    with pytest.raises(ValueError, match="no"):
        portal.run(fail())


def test_a_slow_reader_holds_the_source_back_and_leaving_closes_it(portal: Portal) -> None:
    made: list[int] = []
    closed = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(10_000):
                made.append(number)
                yield number
        finally:
            closed.set()

    stream = portal.iterate(numbers(), size=8)
    assert isinstance(stream, Generator)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert len(made) < 20
    stream.close()
    assert closed.wait(60)
    assert len(made) < 20


def test_an_error_of_the_source_is_raised_after_what_came_before(portal: Portal) -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise OSError("gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(portal.iterate(broken()))
    assert seen == [1]

"""Several messages on their way at a time: which ones, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import AskForBid, CancelExecution, ToCompute
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.rounds import MOST, round_of, sent

Item = tuple[int, ToCompute]


def items(executions: list[int]) -> list[Item]:
    return [(number, CancelExecution(execution_id=f"e-{each}")) for number, each in enumerate(executions)]


def together(queue: list[Item] | deque[Item]) -> list[int]:
    return [number for number, _ in round_of(queue, lambda item: item[1])]


def test_a_round_ends_before_the_second_message_about_an_execution() -> None:
    assert together(items([1, 2, 3, 2, 4])) == [0, 1, 2]
    offer = AskForBid(execution=Execution(id="e-1"))
    assert together([(0, offer), (1, CancelExecution(execution_id="e-1"))]) == [0]


def test_a_round_is_bounded() -> None:
    assert len(together(items(list(range(100))))) == MOST


async def test_all_of_a_round_are_on_their_way_at_the_same_time_and_began_in_order() -> None:
    begun: list[int] = []
    gate = asyncio.Event()

    async def send(number: int) -> None:
        begun.append(number)
        if len(begun) == 5:
            gate.set()
        await gate.wait()
        if number % 2:
            raise DeliveryError(f"{number} was refused")

    async with asyncio.timeout(30):
        failures = await sent(range(5), send)
    assert begun == [0, 1, 2, 3, 4]
    assert [str(error) if error else "" for error in failures] == [
        "",
        "1 was refused",
        "",
        "3 was refused",
        "",
    ]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_round_that_is_cancelled_leaves_nothing_under_way(count: int) -> None:
    ended: list[int] = []
    begun = asyncio.Event()

    async def send(number: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    round_ = asyncio.create_task(sent(range(count), send))
    await begun.wait()
    round_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await round_
    assert ended == list(range(count))


@given(st.lists(st.integers(0, 5), max_size=60), st.data())
def test_whatever_is_refused_each_message_arrives_and_those_of_an_execution_in_order(
    executions: list[int], data: st.DataObject
) -> None:
    queue = deque(items(executions))
    arrived: list[int] = []
    for _ in range(10 * len(executions) + 1):
        numbers = together(queue)
        if not numbers:
            break
        refused = data.draw(st.sets(st.sampled_from(numbers)) if len(arrived) < 200 else st.just(set()))
        arrived += [number for number in numbers if number not in refused]
        queue = deque(item for item in queue if item[0] not in arrived)
    else:
        # Refused again and again: what is left waits, in order.
        assert [number for number, _ in queue] == sorted(number for number, _ in queue)
    for each in set(executions):
        mine = [number for number in arrived if executions[number] == each]
        assert mine == sorted(set(mine))

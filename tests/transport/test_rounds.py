"""Several messages on their way at a time: which ones, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import AskForBid, CancelExecution, ToCompute
from bacalhau_jupyter.transport import rounds
from bacalhau_jupyter.transport.base import DeliveryError, NotTaken
from bacalhau_jupyter.transport.rounds import MOST, Rounds, sent

Item = tuple[int, ToCompute]


def items(executions: list[int]) -> list[Item]:
    return [(number, CancelExecution(execution_id=f"e-{each}")) for number, each in enumerate(executions)]


def chosen() -> Rounds[Item]:
    return Rounds(lambda item: item[1])


def together(queue: list[Item] | deque[Item]) -> list[int]:
    return [number for number, _ in chosen().next(queue)]


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


def play(queue: deque[Item], it: Rounds[Item], refused: Callable[[int], bool]) -> list[int]:
    """Send one round; return what arrived of it, which is out of the queue then."""
    each = it.next(queue)
    it.settled(each, [NotTaken("no") if refused(number) else None for number, _ in each])
    arrived = [number for number, _ in each if not refused(number)]
    for item in [item for item in queue if item[0] in arrived]:
        queue.remove(item)
    return arrived


def test_a_message_that_is_refused_for_ever_holds_up_its_own_execution_only() -> None:
    queue, it = deque(items([0, 0, *range(1, 3 * MOST)])), chosen()
    arrived: list[int] = []
    for _ in range(5):
        arrived += play(queue, it, lambda number: number == 0)
    assert arrived == list(range(2, 3 * MOST + 1))
    assert it.next(queue) == [queue[0]]


def test_those_that_are_refused_take_turns_beside_all_others() -> None:
    queue, it = deque(items([*range(100), *range(100), *range(100, 200)])), chosen()
    tried: set[int] = set()
    for _ in range(200):
        tried.update(number for number, _ in it.next(queue))
        play(queue, it, lambda number: number < 100)
    assert [number for number, _ in queue] == list(range(200))
    tried.clear()
    for _ in range(100):
        tried.update(number for number, _ in it.next(queue))
        play(queue, it, lambda number: number < 100)
    assert tried == set(range(100))


def test_no_more_are_set_aside_than_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "MOST_PARKED", 3)
    queue, it = deque(items([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5])), chosen()
    for _ in range(10):
        play(queue, it, lambda number: number < 5)
    # The fourth and the fifth hold up what comes after their second messages.
    assert 10 in [number for number, _ in queue]


def test_nothing_is_set_aside_because_nobody_listens() -> None:
    it, queue = chosen(), items([1, 1, 2])
    it.settled(it.next(queue), [DeliveryError("node n does not listen")])
    assert [number for number, _ in it.next(queue)] == [0]
    it.settled(it.next(queue), [NotTaken("no")])
    assert [number for number, _ in it.next(queue)] == [0, 2]


@given(st.lists(st.integers(0, 5), max_size=60), st.data())
def test_whatever_is_refused_each_message_arrives_and_those_of_an_execution_in_order(
    executions: list[int], data: st.DataObject
) -> None:
    queue, it = deque(items(executions)), chosen()
    for_ever = data.draw(st.sets(st.integers(0, 5)))
    arrived: list[int] = []
    rounds_left = 10 * len(executions) + 1
    while rounds_left and queue:
        rounds_left -= 1
        numbers = [number for number, _ in it.next(queue)]
        assert numbers == sorted(numbers)
        refused = data.draw(st.sets(st.sampled_from(numbers))) if len(arrived) < 20 else set()
        refused |= {number for number in numbers if executions[number] in for_ever}
        arrived += play(queue, it, refused.__contains__)
    # What is refused for ever holds up its own execution, and no other.
    assert {executions[number] for number, _ in queue} == for_ever & set(executions)
    for each in set(executions):
        mine = [number for number in arrived if executions[number] == each]
        assert mine == sorted(set(mine))

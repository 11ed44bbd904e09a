"""How much is on its way to one receiver at a time, and how much is kept there."""

from __future__ import annotations

import asyncio

import pytest

from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.window import WINDOW_BYTES, Windows
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import WAIT_S, OverNats, no_logs, refuse_control, take_message
from tests.transport.nats.test_side_by_side import Slow, another_is_answered, large_offer, sending


class Sender:
    """Messages that are under way until each is told that it arrived."""

    def __init__(self, limit: int) -> None:
        self.windows = Windows(limit)
        self.begun: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}

    async def send(self, number: int, size: int, subject: str = "s") -> None:
        gate = self.gates[number] = asyncio.Event()
        async with self.windows.room(subject, size):
            self.begun.append(number)
            await gate.wait()

    def start(self, *sizes: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.send(number, size)) for number, size in enumerate(sizes)]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_messages_go_in_order_as_far_as_they_fit() -> None:
    sender = Sender(10)
    tasks = sender.start(4, 4, 4, 1)
    await settled()
    assert sender.begun == [0, 1]
    sender.gates[0].set()
    await settled()
    assert sender.begun == [0, 1, 2, 3]
    for gate in sender.gates.values():
        gate.set()
    await asyncio.gather(*tasks)
    assert not sender.windows._windows


async def test_what_is_larger_than_the_window_goes_alone() -> None:
    sender = Sender(10)
    tasks = sender.start(50, 1)
    await settled()
    assert sender.begun == [0]
    other = asyncio.create_task(sender.send(9, 50, "another receiver"))
    await settled()
    assert sender.begun == [0, 9]
    for gate in sender.gates.values():
        gate.set()
    await asyncio.gather(*tasks, other)


async def test_who_gives_up_waiting_holds_up_nobody() -> None:
    sender = Sender(10)
    tasks = sender.start(8, 8, 2)
    await settled()
    tasks[1].cancel()
    await settled()
    assert sender.begun == [0, 2]
    # Also one that may just have begun.
    tasks += [asyncio.create_task(sender.send(number, 8)) for number in (3, 4)]
    await settled()
    sender.gates[0].set()
    sender.gates[2].set()
    await asyncio.sleep(0)
    tasks[3].cancel()
    await settled()
    assert sender.begun[-1] == 4
    sender.gates[4].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not sender.windows._windows


async def test_large_messages_are_not_all_on_their_way_at_once(nats_server: PlainNatsServer) -> None:
    carrier = OverNats(nats_server.url, nats_server.token, WAIT_S)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    node = Slow()
    await carrier.compute_end("n").connect("n", node.take, no_logs)
    waiting = sending(carrier, *(large_offer(number, WINDOW_BYTES // 2 - 10_000) for number in range(3)))
    await node.until(2)
    await another_is_answered(carrier, "other")
    assert node.begun == ["AskForBid e-0", "AskForBid e-1"]
    for number in range(3):
        node.let(f"AskForBid e-{number}")
    await asyncio.gather(*waiting)
    await carrier.close()


@pytest.mark.parametrize(
    ("limits", "sizes"), [({"lane_bytes": 500_000}, [300_000, 300_000]), ({"lane_messages": 2}, [0, 0, 0])]
)
async def test_what_is_at_work_or_waits_for_its_answer_counts_until_it_is_answered(
    nats_server: PlainNatsServer, limits: dict[str, int], sizes: list[int]
) -> None:
    carrier = OverNats(nats_server.url, nats_server.token, WAIT_S, **limits)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    node = Slow()
    node.let("AskForBid e-1")
    await carrier.compute_end("n").connect("n", node.take, no_logs)
    *waiting, last = sending(carrier, *(large_offer(number, size) for number, size in enumerate(sizes)))
    with pytest.raises(DeliveryError, match="too many messages wait here already"):
        await last
    node.let("AskForBid e-0")
    await asyncio.gather(*waiting)
    node.let("AskForBid e-9")
    (again,) = sending(carrier, large_offer(9, sizes[-1]))
    await again
    await carrier.close()

"""Messages of one node over NATS that are handled at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.envelope import SEQ_NUM
from bacalhau_jupyter.models.wire.messages import AskForBid, CancelExecution, ToCompute
from bacalhau_jupyter.transport.base import DeliveryError, Envelope, NotTaken
from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.nats.delivery import AT_ONCE
from bacalhau_jupyter.transport.wire import execution_of, pack
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import WAIT_S, OverNats, no_logs, refuse_control, take_message
from tests.transport.nats.peer import peer


@pytest.fixture
async def carrier(nats_server: PlainNatsServer) -> AsyncIterator[OverNats]:
    carrier = OverNats(nats_server.url, nats_server.token, WAIT_S)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    yield carrier
    await carrier.close()


@pytest.fixture
async def holding(nats_server: PlainNatsServer) -> AsyncIterator[OverNats]:
    """A carrier that acknowledges nothing more after a refusal."""
    carrier = OverNats(nats_server.url, nats_server.token, WAIT_S, answer_hold_s=10 * WAIT_S)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    yield carrier
    await carrier.close()


class Slow:
    """A node that is at work on each message until it is told to go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.fail = ""
        self.changed = asyncio.Event()
        self.gates: dict[str, asyncio.Event] = {}

    async def take(self, envelope: Envelope) -> None:
        message = envelope.message
        name = f"{type(message).__name__} {execution_of(message)}"
        self.begun.append(name)
        self.changed.set()
        await self.gates.setdefault(name, asyncio.Event()).wait()
        self.ended.append(name)
        self.changed.set()
        if self.fail:
            raise RuntimeError(self.fail)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.begun) < count:
                self.changed.clear()
                await self.changed.wait()

    def let(self, name: str) -> None:
        self.gates.setdefault(name, asyncio.Event()).set()


def offer(number: int) -> ToCompute:
    return AskForBid(execution=Execution(id=f"e-{number}"))


def large_offer(number: int, size: int) -> ToCompute:
    """Return an offer whose message has a little more than ``size`` bytes."""
    job = Job(id="j-1", name="a job", meta={"x": "x" * size})
    return AskForBid(execution=Execution(id=f"e-{number}", job=job))


def sending(carrier: OverNats, *messages: ToCompute) -> list[asyncio.Task[None]]:
    return [
        asyncio.create_task(carrier.orchestrator_end.send("n", Envelope(message, number + 1, 5, "o")))
        for number, message in enumerate(messages)
    ]


async def test_messages_about_several_executions_are_at_work_together_up_to_a_limit(
    carrier: OverNats,
) -> None:
    node = Slow()
    await carrier.compute_end("n").connect("n", node.take, no_logs)
    waiting = sending(carrier, *(offer(number) for number in range(AT_ONCE + 1)))
    await node.until(AT_ONCE)
    assert node.begun == [f"AskForBid e-{number}" for number in range(AT_ONCE)]
    node.let("AskForBid e-3")
    await node.until(AT_ONCE + 1)
    for number in range(AT_ONCE + 1):
        node.let(f"AskForBid e-{number}")
    await asyncio.gather(*waiting)


async def test_an_offer_is_not_looked_at_before_what_gives_back_capacity_is_done(carrier: OverNats) -> None:
    node = Slow()
    await carrier.compute_end("n").connect("n", node.take, no_logs)
    waiting = sending(carrier, offer(1), CancelExecution(execution_id="e-2"), offer(3))
    await node.until(2)
    # The one before it goes on, and is done with its acknowledgement; the one behind it waits.
    node.let("AskForBid e-1")
    await asyncio.wait_for(waiting[0], WAIT_S)
    assert node.begun == ["AskForBid e-1", "CancelExecution e-2"]
    node.let("CancelExecution e-2")
    await node.until(3)
    node.let("AskForBid e-3")
    await asyncio.gather(*waiting)


async def seconds_done_first(carrier: OverNats, node: Slow) -> list[asyncio.Task[None]]:
    """Send two messages; the second is handled, the first is still at work, and neither is answered."""
    await carrier.compute_end("n").connect("n", node.take, no_logs)
    waiting = sending(carrier, offer(1), offer(2))
    await node.until(2)
    node.let("AskForBid e-2")
    async with asyncio.timeout(WAIT_S):
        while node.ended != ["AskForBid e-2"]:
            node.changed.clear()
            await node.changed.wait()
    await another_is_answered(carrier, "other")
    assert not any(each.done() for each in waiting)
    return waiting


async def another_is_answered(carrier: OverNats, name: str) -> None:
    """What is sent and answered later shows that an answer of before would be here."""
    other = Slow()
    other.let("AskForBid e-9")
    await carrier.compute_end(name).connect(name, other.take, no_logs)
    await carrier.orchestrator_end.send(name, Envelope(offer(9), 9, 5, "o"))


async def test_an_acknowledgement_waits_for_the_messages_before_it(carrier: OverNats) -> None:
    """An official sender takes it for those, too, and would never send them again."""
    node = Slow()
    waiting = await seconds_done_first(carrier, node)
    node.let("AskForBid e-1")
    await asyncio.gather(*waiting)


async def test_an_acknowledgement_goes_out_some_time_after_a_refusal(carrier: OverNats) -> None:
    node = Slow()
    first, second = await seconds_done_first(carrier, node)
    node.fail = "no room"
    node.let("AskForBid e-1")
    with pytest.raises(DeliveryError, match="no room"):
        await first
    await second


async def test_no_acknowledgement_follows_a_refusal_at_once(holding: OverNats) -> None:
    """An official sender that sees both with one look never sends anything again."""
    node = Slow()
    first, second = await seconds_done_first(holding, node)
    node.fail = "no room"
    node.let("AskForBid e-1")
    with pytest.raises(DeliveryError, match="no room"):
        await first
    await another_is_answered(holding, "another")
    assert not second.done()
    second.cancel()


async def test_no_acknowledgement_follows_the_refusal_of_what_can_not_be_read(
    holding: OverNats, nats_server: PlainNatsServer
) -> None:
    node = Slow()
    node.let("AskForBid e-1")
    await holding.compute_end("n").connect("n", node.take, no_logs)
    async with peer(nats_server.url, nats_server.token) as stranger:
        assert (await stranger.ack(subjects.orders("n"), b"junk")).error
    (waiting,) = sending(holding, offer(1))
    await node.until(1)
    await another_is_answered(holding, "other")
    assert not waiting.done()
    waiting.cancel()


async def test_a_node_that_ends_acknowledges_nothing_after_what_it_refuses(carrier: OverNats) -> None:
    node = Slow()
    end = carrier.compute_end("n")
    await end.connect("n", node.take, no_logs)
    waiting = sending(carrier, offer(1), offer(2), offer(3))
    await node.until(3)
    for number in (1, 3):
        node.let(f"AskForBid e-{number}")
    await waiting[0]
    async with asyncio.timeout(WAIT_S):
        while "AskForBid e-3" not in node.ended:
            node.changed.clear()
            await node.changed.wait()
    await end.close()
    for each in waiting[1:]:
        with pytest.raises(DeliveryError, match="went away"):
            await each


async def test_a_node_hears_of_messages_that_were_refused_before_they_could_be_handled(
    nats_server: PlainNatsServer,
) -> None:
    """Otherwise its mark would pass them, and an orchestrator that was restarted would not send them again."""
    carrier = OverNats(nats_server.url, nats_server.token, WAIT_S, lane_messages=2)
    node = Slow()
    refused: list[int] = []
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    await carrier.compute_end("n").connect("n", node.take, no_logs, refused.append)
    try:
        first, second, third = sending(carrier, offer(1), offer(2), offer(3))
        with pytest.raises(NotTaken, match="too many messages wait here already"):
            await third
        async with peer(nats_server.url, nats_server.token) as other:
            orders = subjects.orders("n")
            metadata, data = pack(Envelope(offer(4), 4, 5, "o"))
            await other.ask(orders, data)
            # Not in the headers; and one that can't be read, with and without them.
            for number in (1, 2):
                node.let(f"AskForBid e-{number}")
            await asyncio.gather(first, second)
            await other.ask(orders, b"junk", {**metadata, SEQ_NUM: "5"})
            await other.ask(orders, b"junk")
        assert refused == [3, 4, 5, 0]
    finally:
        await carrier.close()

"""What orchestrator and nodes may rely on, whatever carries their messages."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, HandshakeRequired, NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    BidResult,
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import DeliveryError, Envelope
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.services.nats import PlainNatsServer
from tests.services.waiting import settled
from tests.transport.carriers import (
    WAIT_S,
    WINDOW,
    Carrier,
    InMemory,
    OverNats,
    bid,
    cancel,
    no_logs,
    nothing,
    refuse_control,
    soon,
    take_message,
)

IMPATIENT_S = 0.2
KINDS = ["memory", "wire", "nats"]


def made(kind: str, request: pytest.FixtureRequest, timeout_s: float) -> Carrier:
    if kind == "nats":
        server: PlainNatsServer = request.getfixturevalue("nats_server")
        return OverNats(server.url, server.token, timeout_s)
    return InMemory(wire=kind == "wire", timeout_s=timeout_s)


@pytest.fixture(params=KINDS)
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """A carrier whose orchestrator listens, and knows no node."""
    carrier = made(request.param, request, WAIT_S)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    yield carrier
    await carrier.close()


@pytest.fixture(params=KINDS)
async def impatient(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    """The same, but nobody waits long for the other side."""
    carrier = made(request.param, request, IMPATIENT_S)
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    yield carrier
    await carrier.close()


async def test_a_message_arrives_as_it_was_sent_and_is_acknowledged_after_its_handler(
    carrier: Carrier,
) -> None:
    seen: list[Envelope] = []

    async def handler(envelope: Envelope) -> None:
        await asyncio.sleep(0)
        seen.append(envelope)

    await carrier.compute_end("n").connect("n", handler, no_logs)
    await carrier.orchestrator_end.send("n", cancel(7))
    assert seen == [cancel(7)]


async def test_messages_of_one_direction_are_begun_in_order_and_of_one_execution_one_at_a_time(
    carrier: Carrier,
) -> None:
    begun: list[int] = []
    at_work: set[str] = set()

    async def handler(node_id: str, envelope: Envelope) -> None:
        assert isinstance(envelope.message, BidResult)
        execution_id = envelope.message.execution_id
        assert execution_id not in at_work
        at_work.add(execution_id)
        begun.append(envelope.seq)
        await asyncio.sleep(0)
        at_work.remove(execution_id)

    await carrier.orchestrator_end.serve(refuse_control, handler)
    node = carrier.compute_end("n")
    await node.connect("n", nothing, no_logs)
    messages = [replace(bid(number % 7), seq=number) for number in range(50)]
    await asyncio.gather(*(node.send(message) for message in messages))
    assert begun == list(range(50))


async def test_nodes_do_not_wait_for_each_other(carrier: Carrier) -> None:
    stuck = asyncio.Event()

    async def slow(envelope: Envelope) -> None:
        await stuck.wait()

    await carrier.compute_end("slow").connect("slow", slow, no_logs)
    await carrier.compute_end("fast").connect("fast", nothing, no_logs)
    waiting = asyncio.create_task(carrier.orchestrator_end.send("slow", cancel(1)))
    await carrier.orchestrator_end.send("fast", cancel(2))
    assert not waiting.done()
    stuck.set()
    await waiting


async def test_a_message_nobody_takes_is_a_delivery_error(carrier: Carrier) -> None:
    with pytest.raises(DeliveryError, match="node n does not listen"):
        await carrier.orchestrator_end.send("n", cancel(1))
    node = carrier.compute_end("n")
    await node.connect("n", nothing, no_logs)
    await carrier.orchestrator_end.close()
    with pytest.raises(DeliveryError, match="the orchestrator does not listen"):
        await node.send(bid(1))
    with pytest.raises(DeliveryError, match="the orchestrator does not listen"):
        await node.request(HeartbeatRequest(node_id="n"))


async def test_a_handler_that_fails_refuses_only_that_message(carrier: Carrier) -> None:
    async def handler(envelope: Envelope) -> None:
        if envelope.seq == 1:
            raise RuntimeError("disk full")

    await carrier.compute_end("n").connect("n", handler, no_logs)
    with pytest.raises(DeliveryError, match="message 1 was refused: disk full"):
        await carrier.orchestrator_end.send("n", cancel(1))
    await carrier.orchestrator_end.send("n", cancel(2))


async def test_a_sender_that_gives_up_does_not_tear_the_handler_apart(impatient: Carrier) -> None:
    go, finished = asyncio.Event(), asyncio.Event()

    async def handler(envelope: Envelope) -> None:
        await go.wait()
        finished.set()

    await impatient.compute_end("n").connect("n", handler, no_logs)
    with pytest.raises(DeliveryError, match=r"not acknowledged within 0.2s"):
        await impatient.orchestrator_end.send("n", cancel(1))
    go.set()
    await soon(finished)


async def test_a_node_that_leaves_fails_what_was_on_its_way(carrier: Carrier) -> None:
    arrived = asyncio.Event()

    async def handler(envelope: Envelope) -> None:
        arrived.set()
        await asyncio.Event().wait()

    node = carrier.compute_end("n")
    await node.connect("n", handler, no_logs)
    sends = [asyncio.create_task(carrier.orchestrator_end.send("n", cancel(number))) for number in range(3)]
    await soon(arrived)
    await node.close()
    for send in sends:
        # One that comes after the node has closed finds nobody.
        with pytest.raises(DeliveryError, match=r"went away|does not listen"):
            await send


async def test_a_control_request_is_answered_or_refused_with_the_orchestrators_error(
    carrier: Carrier,
) -> None:
    node = carrier.compute_end("n")
    await node.connect("n", nothing, no_logs)
    with pytest.raises(HandshakeRequired, match="node n not connected - handshake required"):
        await node.request(HeartbeatRequest(node_id="n"))

    async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
        assert request == HeartbeatRequest(node_id="n", last_orchestrator_seq_num=9)
        return HeartbeatResponse(last_compute_seq_num=4)

    await carrier.orchestrator_end.serve(answer, take_message)
    request = HeartbeatRequest(node_id="n", last_orchestrator_seq_num=9)
    assert await node.request(request) == HeartbeatResponse(last_compute_seq_num=4)


async def test_an_orchestrator_that_does_not_answer_is_a_delivery_error(impatient: Carrier) -> None:
    async def never(node_id: str, request: ControlRequest) -> ControlResponse:
        await asyncio.Event().wait()
        raise AssertionError

    await impatient.orchestrator_end.serve(never, take_message)
    node = impatient.compute_end("n")
    await node.connect("n", nothing, no_logs)
    with pytest.raises(DeliveryError, match="did not answer"):
        await node.request(HeartbeatRequest(node_id="n"))


async def test_nodes_do_not_wait_for_each_others_answers(carrier: Carrier) -> None:
    stuck = asyncio.Event()

    async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
        if node_id == "slow":
            await stuck.wait()
        return HeartbeatResponse(last_compute_seq_num=4)

    await carrier.orchestrator_end.serve(answer, take_message)
    slow, fast = carrier.compute_end("slow"), carrier.compute_end("fast")
    await slow.connect("slow", nothing, no_logs)
    await fast.connect("fast", nothing, no_logs)
    waiting = asyncio.create_task(slow.request(HeartbeatRequest(node_id="slow")))
    await fast.request(HeartbeatRequest(node_id="fast"))
    assert not waiting.done()
    stuck.set()
    await waiting


@pytest.mark.parametrize("wire", [False, True])
async def test_whoever_connects_last_is_the_node_in_a_process(wire: bool) -> None:
    carrier = MemoryTransport(wire=wire)
    seen: list[int] = []

    async def handler(envelope: Envelope) -> None:
        seen.append(envelope.seq)

    old, new = carrier.compute_end("n"), carrier.compute_end("n")
    await old.connect("n", nothing, no_logs)
    await new.connect("n", handler, no_logs)
    await old.close()
    await carrier.orchestrator_end.send("n", cancel(3))
    assert seen == [3]


# ---- log streams


def counting(
    made: list[int], ended: asyncio.Event
) -> Callable[[ExecutionLogsRequest], AsyncIterator[LogFrame]]:
    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        try:
            number = 0
            while True:
                made.append(number)
                yield LogFrame(value=LogLine(type=1, line=f"{number}\n"))
                number += 1
                await asyncio.sleep(0)
        finally:
            ended.set()

    return logs


async def test_many_streams_run_at_the_same_time_and_end_with_the_log(carrier: Carrier) -> None:
    barrier = asyncio.Barrier(20)

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        await barrier.wait()
        for number in range(100):
            yield LogFrame(value=LogLine(type=2, line=f"{request.execution_id} {number}\n"))

    await carrier.compute_end("n").connect("n", nothing, logs)

    async def read(name: str) -> None:
        request = ExecutionLogsRequest(execution_id=name, node_id="n")
        lines = [frame.value.line async for frame in carrier.orchestrator_end.logs(request)]
        assert lines == [f"{name} {number}\n" for number in range(100)]

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(read(f"e-{number}") for number in range(20)))


async def test_a_slow_reader_holds_the_producer_back(carrier: Carrier) -> None:
    made: list[int] = []
    await carrier.compute_end("n").connect("n", nothing, counting(made, asyncio.Event()))
    stream = carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n"))
    await anext(stream)
    assert await settled(lambda: len(made)) <= WINDOW + 3
    await stream.aclose()  # type: ignore[attr-defined]


async def test_closing_the_reader_frees_the_producer(carrier: Carrier) -> None:
    ended = asyncio.Event()
    await carrier.compute_end("n").connect("n", nothing, counting([], ended))
    stream = carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n"))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    await soon(ended)


async def test_an_abandoned_stream_frees_the_producer_too(carrier: Carrier) -> None:
    ended = asyncio.Event()
    await carrier.compute_end("n").connect("n", nothing, counting([], ended))
    stream = carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n"))
    await anext(stream)
    del stream
    gc.collect()
    await soon(ended)


async def test_a_stream_ends_with_an_error_when_the_node_goes_away(carrier: Carrier) -> None:
    ended = asyncio.Event()
    node = carrier.compute_end("n")
    await node.connect("n", nothing, counting([], ended))
    stream = carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n"))
    await anext(stream)
    await node.close()
    assert ended.is_set()
    with pytest.raises(NetworkFailure, match="went away"):
        async for _ in stream:
            pass


async def test_a_node_that_introduces_itself_again_has_no_streams_any_more(carrier: Carrier) -> None:
    async def endless(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line="first\n"))
        await asyncio.Event().wait()

    node = carrier.compute_end("n")
    await node.connect("n", nothing, endless)
    stream = carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n", follow=True))
    await anext(stream)
    await node.connect("n", nothing, endless)
    with pytest.raises(NetworkFailure, match="went away"):
        await asyncio.wait_for(anext(stream), WAIT_S)


async def test_a_stream_that_is_read_no_more_ends_and_its_neighbours_go_on(carrier: Carrier) -> None:
    go = asyncio.Event()
    ended: dict[str, asyncio.Event] = {"one": asyncio.Event(), "two": asyncio.Event()}

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        try:
            yield LogFrame(value=LogLine(type=1, line="begun\n"))
            await go.wait()
            yield LogFrame(value=LogLine(type=1, line="ended\n"))
        finally:
            ended[request.execution_id].set()

    await carrier.compute_end("n").connect("n", nothing, logs)
    one, two = (
        carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id=name, node_id="n")) for name in ended
    )
    assert [(await anext(stream)).value.line for stream in (one, two)] == ["begun\n", "begun\n"]
    await one.aclose()  # type: ignore[attr-defined]
    await soon(ended["one"])
    assert not ended["two"].is_set()
    go.set()
    assert [frame.value.line async for frame in two] == ["ended\n"]


async def test_a_log_line_of_any_length_arrives_whole(carrier: Carrier) -> None:
    # Longer than what a link takes at once.
    text = "".join(f"{number:07d}é" for number in range(1 << 20)) + "\n"

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=2, line=text))

    await carrier.compute_end("n").connect("n", nothing, logs)
    request = ExecutionLogsRequest(execution_id="e", node_id="n")
    pieces = [frame.value async for frame in carrier.orchestrator_end.logs(request)]
    assert {piece.type for piece in pieces} == {2}
    assert "".join(piece.line for piece in pieces) == text


async def test_a_waiting_reader_gets_an_error_when_the_node_goes_away(carrier: Carrier) -> None:
    asked = asyncio.Event()

    async def silent(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        asked.set()
        await asyncio.Event().wait()
        yield LogFrame()

    node = carrier.compute_end("n")
    await node.connect("n", nothing, silent)
    reader = asyncio.ensure_future(
        anext(carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n")))
    )
    await soon(asked)
    await node.close()
    with pytest.raises(NetworkFailure, match="went away"):
        await asyncio.wait_for(reader, WAIT_S)


async def test_a_handler_that_breaks_ends_the_stream_with_an_error(carrier: Carrier) -> None:
    async def broken(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line="so far\n"))
        raise OSError("disk gone")

    await carrier.compute_end("n").connect("n", nothing, broken)
    lines = []
    with pytest.raises(BacalhauError, match="the log stream failed on the node"):
        async for frame in carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n")):
            lines.append(frame.value.line)  # noqa: PERF401 - what came before the error counts
    assert lines == ["so far\n"]


async def test_logs_of_a_node_that_is_not_there_are_an_error(carrier: Carrier) -> None:
    with pytest.raises(NetworkFailure, match="node n is not connected"):
        await anext(carrier.orchestrator_end.logs(ExecutionLogsRequest(execution_id="e", node_id="n")))


async def test_closing_both_ends_leaves_no_task(carrier: Carrier) -> None:
    await carrier.orchestrator_end.close()
    before = asyncio.all_tasks()
    node = carrier.compute_end("n")
    await carrier.orchestrator_end.serve(refuse_control, take_message)
    await node.connect("n", nothing, no_logs)
    await node.send(bid(1))
    await node.close()
    await carrier.orchestrator_end.close()
    assert asyncio.all_tasks() - before == set()

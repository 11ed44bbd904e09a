"""The NATS server and the link to it come and go; the ends say so, and are there again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import DeliveryError, Envelope
from tests.services.cuttable import CuttableLink
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.carriers import OverNats, bid, cancel, no_logs, nothing, soon, take_message

RESET = struct.pack("ii", 1, 0)
LOGS = ExecutionLogsRequest(execution_id="e", node_id="n", follow=True)


async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse(last_compute_seq_num=1)


async def endless(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
    yield LogFrame(value=LogLine(type=1, line="first\n"))
    await asyncio.Event().wait()


async def test_a_server_that_was_killed_is_found_again_and_everything_goes_on(
    own_nats_server: PlainNatsServer,
) -> None:
    carrier = OverNats(own_nats_server.url, own_nats_server.token)
    orchestrator, node = carrier.orchestrator_end, carrier.compute_end("n")
    await orchestrator.serve(answer, take_message)
    await node.connect("n", nothing, no_logs)
    up_since = node.state.since_ns
    assert node.state.is_up
    assert node.state.place == own_nats_server.url
    own_nats_server.kill()
    await until(lambda: not node.state.is_up and not orchestrator.state.is_up)
    assert node.state.since_ns > up_since
    for sending in (orchestrator.send("n", cancel(1)), node.send(bid(1))):
        with pytest.raises(DeliveryError):
            await sending
    with pytest.raises(DeliveryError):
        await node.request(HeartbeatRequest(node_id="n"))
    await until(lambda: "nothing listens at" in node.state.reason)
    own_nats_server.start()
    await until(lambda: node.state.is_up and orchestrator.state.is_up)
    assert node.state.reason == ""
    await orchestrator.send("n", cancel(1))
    await node.send(bid(1))
    assert await node.request(HeartbeatRequest(node_id="n")) == HeartbeatResponse(last_compute_seq_num=1)
    await carrier.close()


async def test_a_server_that_is_not_there_yet_is_waited_for(own_nats_server: PlainNatsServer) -> None:
    own_nats_server.stop()
    carrier = OverNats(own_nats_server.url, own_nats_server.token)
    await carrier.orchestrator_end.serve(answer, take_message)
    assert not carrier.orchestrator_end.state.is_up
    assert carrier.orchestrator_end.state.reason == f"nothing listens at {own_nats_server.url}"
    node = carrier.compute_end("n")
    with pytest.raises(DeliveryError, match="nothing listens at"):
        await node.connect("n", nothing, no_logs)
    own_nats_server.start()
    await until(lambda: node.state.is_up and carrier.orchestrator_end.state.is_up)
    await node.send(bid(1))
    await carrier.close()


async def test_what_is_on_its_way_when_the_link_is_cut_fails_at_once(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    arrived = asyncio.Event()

    async def never(envelope: Envelope) -> None:
        arrived.set()
        await asyncio.Event().wait()

    far = OverNats(nats_server.url, nats_server.token)
    near = OverNats(cuttable_link.url, nats_server.token, timeout_s=600)
    await near.orchestrator_end.serve(answer, take_message)
    await far.compute_end("n").connect("n", never, no_logs)
    sending = asyncio.create_task(near.orchestrator_end.send("n", cancel(1)))
    await soon(arrived)
    cuttable_link.cut()
    with pytest.raises(DeliveryError, match=r"hung up|nothing listens"):
        await sending
    cuttable_link.restore()
    await until(lambda: near.orchestrator_end.state.is_up)
    await near.close()
    await far.close()


async def test_a_server_that_holds_its_tongue_counts_as_gone(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    carrier = OverNats(cuttable_link.url, nats_server.token, ping_interval_s=0.2)
    node = carrier.compute_end("n")
    await node.connect("n", nothing, no_logs)
    cuttable_link.pause()
    await until(lambda: not node.state.is_up)
    with pytest.raises(DeliveryError):
        await node.send(bid(1))
    cuttable_link.resume()
    await until(lambda: node.state.is_up)
    await carrier.close()


@contextlib.asynccontextmanager
async def resettable(port: int) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Open a way to a port; give its address, and what resets the connections over it."""
    writers: list[asyncio.StreamWriter] = []
    joined: list[asyncio.Task[Any] | None] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader_there, writer_there = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        joined.append(asyncio.current_task())
        ways = (reader, writer_there), (reader_there, writer)
        copying = [asyncio.create_task(copy(*way)) for way in ways]
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, writer_there):
            each.transport.abort()
        await asyncio.wait(copying)

    def reset() -> None:
        while writers:
            writer = writers.pop()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async with await asyncio.start_server(join, "127.0.0.1", 0) as server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", reset
        await asyncio.gather(*filter(None, joined))


async def test_a_link_that_is_reset_while_it_has_nothing_to_send_comes_back(
    nats_server: PlainNatsServer,
) -> None:
    async with resettable(nats_server.port) as (url, reset):
        carrier = OverNats(url, nats_server.token)
        orchestrator, node = carrier.orchestrator_end, carrier.compute_end("n")
        await orchestrator.serve(answer, take_message)
        await node.connect("n", nothing, no_logs)
        before = orchestrator.state.since_ns, node.state.since_ns
        reset()
        await until(lambda: orchestrator.state.since_ns > before[0] and node.state.since_ns > before[1])
        await until(lambda: orchestrator.state.is_up and node.state.is_up)
        await node.send(bid(1))
        await carrier.close()


async def test_a_reader_of_logs_learns_that_his_link_was_cut(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    far = OverNats(nats_server.url, nats_server.token)
    near = OverNats(cuttable_link.url, nats_server.token)
    await near.orchestrator_end.serve(answer, take_message)
    await far.compute_end("n").connect("n", nothing, endless)
    stream = near.orchestrator_end.logs(LOGS)
    await anext(stream)
    reading = asyncio.ensure_future(anext(stream))
    cuttable_link.cut()
    with pytest.raises(NetworkFailure, match="the log stream was cut"):
        await reading
    await near.close()
    await far.close()


async def test_a_reader_of_logs_learns_that_the_nodes_link_was_cut_once_it_is_back(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    ended = asyncio.Event()

    async def watched(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        try:
            async for frame in endless(request):
                yield frame
        finally:
            ended.set()

    near = OverNats(nats_server.url, nats_server.token)
    far = OverNats(cuttable_link.url, nats_server.token)
    await near.orchestrator_end.serve(answer, take_message)
    await far.compute_end("n").connect("n", nothing, watched)
    stream = near.orchestrator_end.logs(LOGS)
    await anext(stream)
    reading = asyncio.ensure_future(anext(stream))
    cuttable_link.cut()
    await soon(ended)
    cuttable_link.restore()
    with pytest.raises(NetworkFailure, match="the node lost its link while its logs were read"):
        await reading
    await far.close()
    await near.close()


async def test_a_reader_of_logs_learns_that_the_node_vanished(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    near = OverNats(nats_server.url, nats_server.token, stream_silence_s=1.0)
    far = OverNats(cuttable_link.url, nats_server.token, stream_heartbeat_s=0.1)
    await near.orchestrator_end.serve(answer, take_message)
    await far.compute_end("n").connect("n", nothing, endless)
    stream = near.orchestrator_end.logs(LOGS)
    await anext(stream)
    reading = asyncio.ensure_future(anext(stream))
    cuttable_link.pause()
    with pytest.raises(NetworkFailure, match="the node went away while its logs were read"):
        await reading
    await near.close()
    cuttable_link.resume()
    await far.close()


async def test_a_message_larger_than_the_link_takes_is_refused_with_the_way_out(
    nats_server: PlainNatsServer,
) -> None:
    carrier = OverNats(nats_server.url, nats_server.token)
    await carrier.orchestrator_end.serve(answer, take_message)
    node = carrier.compute_end("n")
    await node.connect("n", nothing, no_logs)
    assert carrier.orchestrator_end.way_to("n").payload_limit == node.max_payload == 8 << 20
    large = bid(1)
    large = Envelope(type(large.message)(execution_id="e" * (9 << 20)), 1, 5, "n")  # type: ignore[call-arg]
    with pytest.raises(DeliveryError, match="is larger than the 8388608 bytes") as caught:
        await node.send(large)
    assert not caught.value.retryable
    await node.send(bid(2))
    await carrier.close()

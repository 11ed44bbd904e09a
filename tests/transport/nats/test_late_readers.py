"""Readers of logs that do not answer in time whether they still read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.nats.inbox import Question
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import WAIT_S, OverNats, nothing, take_message

LOGS = ExecutionLogsRequest(execution_id="e", node_id="n", follow=True)


async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse()


class Scene:
    """A reader of a log that goes on when it is let, and whose first answers are late."""

    def __init__(self, server: PlainNatsServer, late: int) -> None:
        self.carrier = OverNats(server.url, server.token, stream_heartbeat_s=0.1)
        self.go_on, self.was_asked_again = asyncio.Event(), asyncio.Event()
        self._late = late

    async def started(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogFrame]:
        await self.carrier.orchestrator_end.serve(answer, take_message)
        node = self.carrier.compute_end("n")
        ask = node._inbox.ask

        async def late(question: Question, timeout_s: float) -> bytes:
            if self._late:
                self._late -= 1
                raise TimeoutError
            data = await ask(question, WAIT_S)
            self.was_asked_again.set()
            return data

        monkeypatch.setattr(node._inbox, "ask", late)
        await node.connect("n", nothing, self._logs)
        return self.carrier.orchestrator_end.logs(LOGS)

    async def _logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line="first\n"))
        await self.go_on.wait()
        yield LogFrame(value=LogLine(type=1, line="last\n"))


async def test_a_reader_that_is_late_once_reads_to_the_end(
    nats_server: PlainNatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(nats_server, late=1)
    try:
        async with asyncio.timeout(WAIT_S):
            stream = await scene.started(monkeypatch)
            assert (await anext(stream)).value.line == "first\n"
            await scene.was_asked_again.wait()
            scene.go_on.set()
            assert [frame.value.line async for frame in stream] == ["last\n"]
    finally:
        await scene.carrier.close()


async def test_a_reader_that_is_late_again_and_again_hears_of_the_end(
    nats_server: PlainNatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(nats_server, late=2)
    try:
        async with asyncio.timeout(WAIT_S):
            stream = await scene.started(monkeypatch)
            assert (await anext(stream)).value.line == "first\n"
            with pytest.raises(NetworkFailure, match="the reader of the logs did not answer"):
                await anext(stream)
    finally:
        await scene.carrier.close()

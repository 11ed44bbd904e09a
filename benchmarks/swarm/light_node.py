"""A compute node that runs nothing: it joins, sends heartbeats, bids at once and reports the end at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field

from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.execution import DesiredStateType, RunCommandResult
from bacalhau_jupyter.models.records.node import BuildVersionInfo, ComputeNodeInfo, NodeInfo
from bacalhau_jupyter.models.wire.envelope import SEQ_NUM, data_metadata, decode, encode
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BacError,
    BidAccepted,
    BidResult,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    Message,
    RunResult,
)
from benchmarks.swarm.wire import Arrival, Wire

ROOM = Resources(cpu=64, memory=64 << 30, disk=1 << 40)
ANSWER_TIMEOUT_S = 10.0
RETRY_S = 1.0
"""Seconds until a message that nobody took is sent again."""
ACK = b"{}"


@dataclass
class Counts:
    """What happened to all nodes of a swarm together; latencies are in seconds."""

    handshakes: list[float] = field(default_factory=list)
    heartbeats: list[float] = field(default_factory=list)
    late: int = 0
    refused: int = 0
    lost: int = 0
    ran: int = 0
    resent: int = 0


class LightNode:
    """One node.

    Parameters
    ----------
    wire
        Its connection, which it may share where the server allows that.
    node_id
        Its ID, and the name of the connection.
    counts
        Where it notes what happened.
    """

    def __init__(self, wire: Wire, node_id: str, counts: Counts) -> None:
        self._wire, self.node_id, self._counts = wire, node_id, counts
        base = f"bacalhau.global.compute.{node_id}"
        self._control, self._out = f"{base}.out.ctrl", f"{base}.out.msgs"
        self._inbox = f"_INBOX.{node_id.removeprefix('n-')}"
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._unacknowledged: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self._sequence = itertools.count(1)
        self._asked: dict[str, tuple[str, str]] = {}
        self._ended: set[str] = set()
        self._incoming = 0
        wire.subscribe(f"{self._inbox}.*", self._answered)
        wire.subscribe(f"{base}.in.msgs", self._told)
        wire.subscribe(f"node.compute.{node_id}.>", lambda _: None)

    @property
    def waiting(self) -> int:
        """How many of its reports the orchestrator has not taken yet."""
        return len(self._unacknowledged)

    async def join(self) -> bool:
        """Introduce itself; whether the orchestrator took it."""
        started = time.perf_counter()
        info = NodeInfo(
            node_id=self.node_id,
            labels={"name": self.node_id, "os_type": "linux", "os_arch": "amd64"},
            supported_protocols=["bprotocol/v2", "ncl/v1"],
            compute_node_info=ComputeNodeInfo(
                execution_engines=["docker", "noop"],
                publishers=["noop", "local"],
                storage_sources=["inline", "urlDownload"],
                max_capacity=ROOM,
                available_capacity=ROOM,
                max_job_requirements=ROOM,
            ),
            bacalhau_version=BuildVersionInfo(
                major="1", minor="9", git_version="v1.9.3", goos="linux", goarch="amd64"
            ),
        )
        request = HandshakeRequest(
            node_info=info, start_time=rfc3339(time.time_ns()), last_orchestrator_seq_num=self._incoming
        )
        answer = await self._ask(request)
        if not isinstance(answer, HandshakeResponse) or not answer.accepted:
            self._counts.refused += 1
            return False
        self._incoming = answer.last_orchestrator_seq_num
        self._counts.handshakes.append(time.perf_counter() - started)
        return True

    async def beat(self, interval_s: float, first_s: float) -> None:
        """Send heartbeats until cancelled, and join again where the orchestrator asks for it."""
        await asyncio.sleep(first_s)
        while True:
            started = time.perf_counter()
            answer = await self._ask(
                HeartbeatRequest(
                    node_id=self.node_id,
                    available_capacity=ROOM,
                    last_orchestrator_seq_num=self._incoming,
                )
            )
            took = time.perf_counter() - started
            if answer is None:
                self._counts.late += 1
            elif isinstance(answer, BacError):
                self._counts.lost += 1
                await self.join()
            else:
                self._counts.heartbeats.append(took)
            await asyncio.sleep(max(0.0, interval_s - took))

    async def _ask(self, request: Message) -> Message | None:
        """Return the answer; None where none came in time."""
        reply = f"{self._inbox}.c{next(self._numbers)}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer
        self._wire.publish(self._control, self._envelope(request), reply)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._answers[reply]

    def _envelope(self, message: Message, seq: int | None = None) -> bytes:
        return encode(message, data_metadata(self.node_id, time.time_ns(), seq))

    def _answered(self, arrival: Arrival) -> None:
        if arrival.subject in self._unacknowledged:
            if arrival.data == ACK:
                del self._unacknowledged[arrival.subject]
            else:
                asyncio.get_running_loop().call_later(RETRY_S, self._send_again, arrival.subject)
            return
        answer = self._answers.get(arrival.subject)
        if answer is not None and not answer.done() and not arrival.status:
            answer.set_result(decode(arrival.data)[1])

    def _told(self, arrival: Arrival) -> None:
        """Take a message of the orchestrator, and answer at once."""
        try:
            metadata, message = decode(arrival.data)
        except BacalhauError as error:
            self._wire.publish(arrival.reply, json.dumps({"error": error.message, "delay": 0}).encode())
            return
        self._incoming = int(metadata.get(SEQ_NUM, self._incoming))
        self._wire.publish(arrival.reply, ACK)
        if isinstance(message, AskForBid):
            execution = message.execution
            job_type = str(execution.job.type) if execution.job is not None else ""
            self._asked[execution.id] = (execution.job_id, job_type)
            if execution.desired_state.state_type is DesiredStateType.RUNNING:
                self._end(execution.id)
            elif execution.id not in self._ended:
                self._report(
                    BidResult(
                        execution_id=execution.id, job_id=execution.job_id, job_type=job_type, accepted=True
                    )
                )
        elif isinstance(message, BidAccepted):
            self._end(message.execution_id)

    def _end(self, execution_id: str) -> None:
        about = self._asked.pop(execution_id, None)
        if about is None or execution_id in self._ended:
            return
        self._ended.add(execution_id)
        self._counts.ran += 1
        job_id, job_type = about
        self._report(
            RunResult(
                execution_id=execution_id,
                job_id=job_id,
                job_type=job_type,
                run_command_result=RunCommandResult(),
            )
        )

    def _report(self, message: Message) -> None:
        reply = f"{self._inbox}.m{next(self._numbers)}"
        self._unacknowledged[reply] = self._envelope(message, next(self._sequence))
        self._wire.publish(self._out, self._unacknowledged[reply], reply)

    def _send_again(self, reply: str) -> None:
        data = self._unacknowledged.get(reply)
        if data is not None:
            self._counts.resent += 1
            self._wire.publish(self._out, data, reply)

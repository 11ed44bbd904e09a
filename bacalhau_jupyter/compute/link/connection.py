"""The link to the orchestrator: handshake, heartbeats, node info, and the messages that must arrive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.fitting import REPORT_LIMIT, fitting
from bacalhau_jupyter.compute.link.notes import Notes
from bacalhau_jupyter.compute.link.outbox import Outgoing
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.database import DatabaseError
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, Conflict, Forbidden, HandshakeRequired
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    ShutdownNoticeRequest,
    ToOrchestrator,
    UpdateNodeInfoRequest,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.transport.base import Envelope, LogHandler, NodeMessageHandler
from bacalhau_jupyter.transport.rounds import Rounds, sent
from bacalhau_jupyter.transport.wire import cut

R = TypeVar("R")

_log = logging.getLogger(__name__)

EAGER_S = 0.02
"""Changes of capacity are sent after this many seconds, so that a burst of endings is one heartbeat."""

EAGER_REST_S = 1.0
"""Seconds between two such heartbeats: a node that ends fifty short jobs a second must not send a hundred of them."""

ENVELOPE_BYTES = 4096
"""What is around a report in its message, at most."""

FLUSH_S = 0.5
"""Seconds without mail after which delivered messages are removed, which a next one would have taken along."""


class OrchestratorLink:
    """Keeps a compute node joined to its orchestrator.

    Parameters
    ----------
    equipment
        What the node's parts share.
    node_info
        Describes the node as it is now.
    available
        Returns free capacity.
    """

    def __init__(
        self,
        equipment: Equipment,
        node_info: Callable[[], NodeInfo],
        available: Callable[[], Resources],
    ) -> None:
        self._problems = equipment.problems
        self._settings = equipment.settings
        self._transport = equipment.transport
        self._store = equipment.store
        self._clock = equipment.clock
        self._node_info = node_info
        self._available = available
        self._started = self._clock.now_ns()
        self._last_info: NodeInfo | None = None
        self._joined = asyncio.Event()
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._beat = asyncio.Event()
        self._news = False
        self._notes = Notes()
        self._mail = asyncio.Event()
        self._rounds: Rounds[Outgoing] = Rounds(lambda item: item.message)
        self._tasks: list[asyncio.Task[None]] = []
        self.problem = ""
        """Why the node is not connected, for people; empty while it is."""
        self.hint = ""
        """What to do about `problem`; empty where nothing is known to help."""

    @property
    def joined(self) -> bool:
        """Whether the orchestrator knows this node."""
        return self._joined.is_set()

    def start(self, messages: NodeMessageHandler, logs: LogHandler) -> None:
        """Join, and keep joined until `stop`."""
        work = {
            "joining the orchestrator": lambda: self._keep_joined(messages, logs),
            "sending heartbeats to the orchestrator": self._heartbeats,
            "sending messages to the orchestrator": self._post,
        }
        self._tasks = [
            asyncio.create_task(self._problems.keep(task, job), name=f"compute: {task}")
            for task, job in work.items()
        ]

    async def wait_joined(self, timeout_s: float, *, one_try: bool = False) -> bool:
        """Wait until the node has joined; False when it did not in time, or with the first try."""
        try:
            async with asyncio.timeout(timeout_s):
                await (self._tried if one_try else self._joined).wait()
        except TimeoutError:
            return False
        return self.joined

    def wake_outbox(self) -> None:
        """Say that there is something to send."""
        self._mail.set()

    def capacity_changed(self) -> None:
        """Tell the orchestrator what is free soon rather than at the next heartbeat."""
        self._beat.set()

    def info_changed(self) -> None:
        """Tell the orchestrator soon what is new about this node."""
        self._news = True
        self._beat.set()

    def note(self, execution_id: str, event: Event) -> None:
        """Tell the orchestrator soon what happened to an execution that goes on."""
        self._notes.add(execution_id, event)
        self.info_changed()

    async def stop(self) -> None:
        """Say goodbye and leave; bounded."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.joined:
            notice = ShutdownNoticeRequest(
                node_id=self._settings.node_id, last_orchestrator_seq_num=self._store.incoming
            )
            with contextlib.suppress(BacalhauError, TimeoutError):
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self._transport.request(notice)
        self._joined.clear()
        with contextlib.suppress(DatabaseError):
            await self._store.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await self._transport.close()

    # ---- joining

    async def _keep_joined(self, messages: NodeMessageHandler, logs: LogHandler) -> None:
        while True:
            for delay_s in self._delays():
                try:
                    # Messages may come during the handshake, so listening comes first.
                    await self._transport.connect(
                        self._settings.node_id, messages, logs, self._store.arrivals.refused
                    )
                    await self._handshake()
                    break
                except BacalhauError as error:
                    if self.problem != error.message:
                        _log.warning("not connected to the orchestrator: %s", error)
                    self.problem, self.hint = error.message, error.hint
                    self._tried.set()
                await asyncio.sleep(delay_s)
            self.problem = self.hint = ""
            self._lost.clear()
            self._joined.set()
            self._tried.set()
            self._mail.set()
            await self._lost.wait()
            self._joined.clear()

    async def _handshake(self) -> None:
        info = self._node_info()
        answer = await self._ask(
            HandshakeRequest(
                node_info=info,
                start_time=rfc3339(self._started),
                last_orchestrator_seq_num=self._store.incoming,
            ),
            HandshakeResponse,
        )
        reason = cut(answer.reason)
        if not answer.accepted:
            raise Forbidden(f"the orchestrator refused this node: {reason}", component="Handshake")
        self._store.arrivals.restart(answer.last_orchestrator_seq_num)
        self._last_info = info
        _log.info("joined the orchestrator: %s", reason)

    # ---- staying joined

    async def _heartbeats(self) -> None:
        told_at = self._clock.monotonic_ns()
        failures = 0
        beaten_at = self._clock.monotonic_ns()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.heartbeat_interval_s):
                    await self._beat.wait()
                    rested_s = (self._clock.monotonic_ns() - beaten_at) / SECOND
                    await asyncio.sleep(max(EAGER_S, EAGER_REST_S - rested_s))
            beaten_at = self._clock.monotonic_ns()
            self._beat.clear()
            await self._joined.wait()
            try:
                await self._heartbeat()
                if self._news or self._clock.monotonic_ns() - told_at > self._settings.info_interval_s * 1e9:
                    told_at, self._news = self._clock.monotonic_ns(), False
                    try:
                        await self._tell_info()
                    except BacalhauError:
                        # It is still news: the orchestrator may not have it.
                        self._news = True
                        raise
                failures = 0
            except HandshakeRequired:
                self._lost.set()
                self._joined.clear()
            except (BacalhauError, DatabaseError) as error:
                failures += 1
                _log.warning("a heartbeat failed: %s", error)
                if failures >= 5:
                    failures = 0
                    self.problem, self.hint = str(error), ""
                    self._lost.set()
                    self._joined.clear()

    async def _heartbeat(self) -> None:
        request = HeartbeatRequest(
            node_id=self._settings.node_id,
            available_capacity=self._available(),
            last_orchestrator_seq_num=self._store.incoming,
        )
        await self._ask(request, HeartbeatResponse)

    async def _tell_info(self) -> None:
        info, notes = self._node_info(), self._notes.first()
        if not notes and self._last_info is not None and _static(info) == _static(self._last_info):
            return
        request = UpdateNodeInfoRequest(node_info=info, execution_notes=notes)
        answer = await self._ask(request, UpdateNodeInfoResponse)
        if answer.accepted:
            self._last_info = info
        self._notes.drop(notes)
        if self._notes.first():
            self.info_changed()

    # ---- the outbox

    async def _post(self) -> None:
        """Send what is stored, oldest first, and forget it only when the orchestrator has it."""
        delays = self._delays()
        while True:
            if not await self._has_mail():
                with contextlib.suppress(DatabaseError):
                    await self._store.flush()
                continue
            await self._joined.wait()
            self._mail.clear()
            try:
                taken = 1
                while taken:
                    taken, failure = await self._post_some()
                    if taken:
                        # The orchestrator listens; only what it did not take has to wait.
                        delays = self._delays()
                    if failure is not None:
                        raise failure
            except (BacalhauError, DatabaseError) as error:
                _log.debug("messages wait: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(next(delays)):
                        await self._mail.wait()
                self._mail.set()

    async def _has_mail(self) -> bool:
        """Wait for mail; False where there was none for a while."""
        if self._mail.is_set():
            return True
        limit_s = FLUSH_S if self._store.is_behind else self._settings.heartbeat_interval_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                return await self._mail.wait()
        return False

    async def _post_some(self) -> tuple[int, BaseException | None]:
        """Send some messages; return how many were taken, and why the first of the others was not."""
        outbox = self._store.outbox
        looked_at = await outbox.first(self._rounds.looked_at)
        together = self._rounds.next(looked_at)
        failures = await sent(together, self._send)
        self._rounds.settled(together, failures)
        ends = zip(together, failures, strict=True)
        taken = [item.seq for item, error in ends if error is None]
        outbox.settled([item.seq for item in looked_at], taken)
        return len(taken), next((error for error in failures if error is not None), None)

    async def _send(self, item: Outgoing) -> None:
        message = self._fitting(item.message)
        await self._transport.send(Envelope(message, item.seq, item.time_ns, self._settings.node_id))

    def _fitting(self, message: ToOrchestrator) -> ToOrchestrator:
        """Return a report as this link carries it: its server may take less than reports have at most."""
        room = self._transport.max_payload - ENVELOPE_BYTES
        return fitting(message, room) if 0 < room < REPORT_LIMIT else message

    async def _ask(self, request: ControlRequest, kind: type[R]) -> R:
        answer = await self._transport.request(request)
        if not isinstance(answer, kind):
            raise Conflict(
                f"the orchestrator answered with {type(answer).__name__} instead of {kind.__name__}",
                component="Transport",
            )
        return answer

    def _delays(self) -> Iterator[float]:
        return backoff(self._settings.reconnect_first_s, self._settings.reconnect_limit_s)


def _static(info: NodeInfo) -> NodeInfo:
    """Drop what heartbeats tell already."""
    compute = replace(
        info.compute_node_info,
        queue_capacity=Resources(),
        available_capacity=Resources(),
        running_executions=0,
        enqueued_executions=0,
    )
    return replace(info, compute_node_info=compute)

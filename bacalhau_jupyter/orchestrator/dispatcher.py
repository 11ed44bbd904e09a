"""Messages leave the outbox: per node in order, some at a time, again and again until the node has taken them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.wire.messages import ToCompute
from bacalhau_jupyter.orchestrator.store import outbox
from bacalhau_jupyter.orchestrator.store.outbox import OutboxItem
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.transport.base import Envelope, OrchestratorTransport
from bacalhau_jupyter.transport.rounds import Rounds, sent

_log = logging.getLogger(__name__)

RETRY_FIRST_S = 0.1
RETRY_LIMIT_S = 10.0
"""Seconds between attempts to deliver a message."""

FORGET_DELAY_S = 0.5
"""Seconds that acknowledged messages may stay in the outbox, so that their removal shares a commit."""

FORGET_LIMIT = 256
"""Acknowledged messages that may stay there."""


_FORGETTING = "removing acknowledged messages from the outbox"


class _Lane:
    """Messages to one node."""

    def __init__(self) -> None:
        self.items: deque[OutboxItem] = deque()
        self.arrived = asyncio.Event()
        self.retry = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.last_sent = 0
        self.ready_at = 0.0
        """When the first message may go, by the clock of the event loop."""
        self.rounds: Rounds[OutboxItem] = Rounds(lambda item: item.message)


class Dispatcher:
    """Sends stored messages to connected nodes.

    Parameters
    ----------
    store
        Where the outbox is.
    transport
        Carries the messages.
    source
        Who the envelopes say sent them.
    problems
        List of failed background tasks.
    shape
        Returns a message as a node gets it.
    """

    def __init__(
        self,
        store: Store,
        transport: OrchestratorTransport,
        source: str,
        problems: Problems | None = None,
        shape: Callable[[str, ToCompute], ToCompute] = lambda node_id, message: message,
    ) -> None:
        self._problems = problems or Problems()
        self._store = store
        self._transport = transport
        self._source = source
        self._shape = shape
        self._lanes: dict[str, _Lane] = {}
        self._acknowledged: list[int] = []
        self._acks = asyncio.Event()
        self._many = asyncio.Event()
        self._forgetter: asyncio.Task[None] | None = None
        self._last_seq = 0

    async def start(self) -> None:
        """Load what was not acknowledged before; nothing is sent until a node connects."""
        items, self._last_seq = await self._store.read(
            lambda connection: (outbox.pending(connection), outbox.last(connection))
        )
        self.add(items)
        self._forgetter = asyncio.create_task(
            self._problems.keep(_FORGETTING, self._forget), name="outbox forget"
        )

    async def stop(self) -> None:
        """Stop sending; what is not acknowledged stays stored."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if self._forgetter is not None:
            tasks.append(self._forgetter)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with contextlib.suppress(BacalhauError):
            await self._remove()

    def add(self, items: Iterable[OutboxItem]) -> None:
        """Take over messages that have just been committed, in commit order."""
        for item in items:
            lane = self._lanes.setdefault(item.node_id, _Lane())
            lane.items.append(item)
            lane.arrived.set()
            self._last_seq = max(self._last_seq, item.seq)

    def connect(self, node_id: str, settle_s: float = 0.0) -> int:
        """Start (or hurry) sending to a node; returns the sequence number after which messages will come.

        Parameters
        ----------
        settle_s
            Seconds that it needs for itself before the first message.
        """
        lane = self._lanes.setdefault(node_id, _Lane())
        if settle_s:
            lane.ready_at = asyncio.get_running_loop().time() + settle_s
        lane.retry.set()
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(
                self._problems.keep(f"sending messages to node {node_id}", lambda: self._send(node_id, lane)),
                name=f"outbox {node_id}",
            )
        return lane.items[0].seq - 1 if lane.items else self._last_seq

    def disconnect(self, node_id: str) -> None:
        """Stop sending to a node; its messages are kept for when it comes back."""
        lane = self._lanes.get(node_id)
        if lane is not None and lane.task is not None:
            lane.task.cancel()
            lane.task = None

    def forget_node(self, node_id: str) -> None:
        """Drop a node with its messages (they must be removed from the store, too)."""
        self.disconnect(node_id)
        self._lanes.pop(node_id, None)

    def last_sent(self, node_id: str) -> int:
        """Return the sequence number of the last message that the node took."""
        lane = self._lanes.get(node_id)
        return lane.last_sent if lane is not None else 0

    async def _send(self, node_id: str, lane: _Lane) -> None:
        delays = backoff(RETRY_FIRST_S, RETRY_LIMIT_S)
        while True:
            while not lane.items:
                lane.arrived.clear()
                await lane.arrived.wait()
            if (early_s := lane.ready_at - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(early_s)
            lane.retry.clear()
            together = lane.rounds.next(lane.items)
            failures = await sent(together, partial(self._send_one, node_id))
            refused = self._settled(lane, together, failures)
            if len(refused) < len(together):
                # The node listens; only what it did not take has to wait.
                delays = backoff(RETRY_FIRST_S, RETRY_LIMIT_S)
            if not refused:
                continue
            item, error = refused[0]
            _log.info("node %s did not take message %d: %s", node_id, item.seq, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(delays)):
                    await lane.retry.wait()

    async def _send_one(self, node_id: str, item: OutboxItem) -> None:
        message = self._shape(node_id, item.message)
        await self._transport.send(node_id, Envelope(message, item.seq, item.time_ns, self._source))

    def _settled(
        self, lane: _Lane, together: Sequence[OutboxItem], failures: Sequence[BaseException | None]
    ) -> list[tuple[OutboxItem, BaseException]]:
        """Take what arrived out of the queue; return the rest, which is sent again. Cancelled, all of it is."""
        lane.rounds.settled(together, failures)
        # Whatever a carrier raises, the message was not taken.
        ends = {item.seq: error for item, error in zip(together, failures, strict=True)}
        skipped: list[OutboxItem] = []
        refused: list[tuple[OutboxItem, BaseException]] = []
        while ends:
            item = lane.items.popleft()
            if item.seq not in ends:
                skipped.append(item)
                continue
            error = ends.pop(item.seq)
            if error is None:
                lane.last_sent = max(lane.last_sent, item.seq)
                self._acknowledged.append(item.seq)
            else:
                skipped.append(item)
                refused.append((item, error))
        lane.items.extendleft(reversed(skipped))
        self._acks.set()
        if len(self._acknowledged) >= FORGET_LIMIT:
            self._many.set()
        return refused

    async def _forget(self) -> None:
        """Remove acknowledged messages a little later: a crash in between only sends them again."""
        while True:
            await self._acks.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGET_DELAY_S):
                    await self._many.wait()
            self._acks.clear()
            self._many.clear()
            with self._problems.watching(_FORGETTING):
                await self._remove()

    async def _remove(self) -> None:
        seqs, self._acknowledged = self._acknowledged, []
        if seqs:
            try:
                await self._store.transact(lambda transaction: outbox.remove(transaction.connection, seqs))
            except BaseException:
                self._acknowledged = seqs + self._acknowledged
                raise

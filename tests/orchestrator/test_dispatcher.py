from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import (
    BidAccepted,
    CancelExecution,
    ExecutionLogsRequest,
    ToCompute,
)
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.store import outbox
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Transaction
from bacalhau_jupyter.transport.base import (
    ComputeMessageHandler,
    ControlHandler,
    DeliveryError,
    Envelope,
    LinkState,
    Way,
)
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator
from tests.services.waiting import lasts


class LossyCarrier:
    """Loses acknowledgements: every message arrives, but the first ``losses`` sends say it did not."""

    def __init__(self, losses: int = 0) -> None:
        self.losses = losses
        self.arrived: list[int] = []
        self.changed = asyncio.Event()
        self.state = LinkState(is_up=True)

    def way_to(self, node_id: str) -> Way:
        return Way()

    async def serve(self, control: ControlHandler, messages: ComputeMessageHandler) -> None: ...

    async def send(self, node_id: str, envelope: Envelope) -> None:
        self.arrived.append(envelope.seq)
        self.changed.set()
        if self.losses:
            self.losses -= 1
            raise DeliveryError("no answer")

    async def cut(self, node_id: str) -> None:
        raise AssertionError("nobody is cut off here")

    async def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        return
        yield

    async def close(self) -> None: ...

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.arrived) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_messages_go_in_order_and_again_until_they_are_acknowledged(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", MIGRATIONS)
    carrier = LossyCarrier(losses=2)
    store = Store(database, SystemClock(), lambda changes: None)
    dispatcher = Dispatcher(store, carrier, "o")
    await dispatcher.start()
    assert dispatcher.connect("n") == 0

    def put(transaction: Transaction) -> list[outbox.OutboxItem]:
        messages: list[ToCompute] = [BidAccepted(execution_id="e-1"), CancelExecution(execution_id="e-1")]
        return [outbox.append(transaction.connection, "n", "e-1", message, 1) for message in messages]

    dispatcher.add(await store.transact(put))
    await carrier.until(4)
    assert carrier.arrived == [1, 1, 1, 2]
    assert dispatcher.last_sent("n") in (1, 2)
    await dispatcher.stop()
    assert await store.read(outbox.pending) == []
    # Numbers rise over restarts although the outbox is empty.
    assert [item.seq for item in await store.transact(put)] == [3, 4]
    await database.close()


async def test_a_node_that_settles_gets_its_messages_after_that(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", MIGRATIONS)
    store = Store(database, SystemClock(), lambda changes: None)
    await store.transact(
        lambda t: outbox.append(t.connection, "n", "e-1", CancelExecution(execution_id="e-1"), 1)
    )
    carrier = LossyCarrier()
    dispatcher = Dispatcher(store, carrier, "o")
    await dispatcher.start()
    began = asyncio.get_running_loop().time()
    assert dispatcher.connect("n", 0.2) == 0
    await carrier.until(1)
    assert asyncio.get_running_loop().time() - began >= 0.2
    # Also where it was connected all the time, for all that is known.
    dispatcher.connect("n", 600)
    dispatcher.add(
        [
            await store.transact(
                lambda t: outbox.append(t.connection, "n", "e-2", CancelExecution(execution_id="e-2"), 1)
            )
        ]
    )
    await lasts(0.1)
    assert carrier.arrived == [1]
    await dispatcher.stop()
    await database.close()


async def test_what_was_not_acknowledged_before_a_restart_is_sent_again(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", MIGRATIONS)
    store = Store(database, SystemClock(), lambda changes: None)
    await store.transact(
        lambda t: outbox.append(t.connection, "n", "e-1", CancelExecution(execution_id="e-1"), 1)
    )
    carrier = LossyCarrier()
    dispatcher = Dispatcher(store, carrier, "o")
    await dispatcher.start()
    assert carrier.arrived == []  # nothing goes to a node that is not there
    assert dispatcher.connect("n") == 0
    await carrier.until(1)
    dispatcher.disconnect("n")
    await dispatcher.stop()
    await database.close()


async def test_an_offer_whose_job_was_stopped_meanwhile_is_not_made_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "d"
    async with orchestrator(path) as (service, transport):
        peer = Peer(transport)
        await peer.join()
        await peer.end.close()  # the carrier is gone, the orchestrator has not noticed
        job_id = (await service.submit(noop_job("a", timeouts=Timeouts(queue_timeout=1000)))).job_id
        async with asyncio.timeout(60):
            async for event in service.events(0, job_id):
                if event.message == "Requested execution on n-1":
                    await service.stop(job_id)
                if event.message == "Execution stop requested because job has been stopped":
                    break
    async with orchestrator(path) as (service, transport):
        peer = Peer(transport)
        await peer.join()
        await peer.until(lambda: bool(peer.received))
        assert [type(message).__name__ for message in peer.received] == ["BidRejected"]
        assert not peer.offered


async def test_a_node_whose_answers_are_lost_still_runs_each_execution_once() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        take, lost = peer.take, 0

        async def forgetful(envelope: Envelope) -> None:
            nonlocal lost
            await take(envelope)
            if lost < 3:
                lost += 1
                raise RuntimeError("the answer is lost")

        peer.take = forgetful  # type: ignore[method-assign]
        report = peer.report

        async def twice(message: object) -> None:
            await report(message)  # type: ignore[arg-type]
            await report(message)  # type: ignore[arg-type]

        peer.report = twice  # type: ignore[method-assign]
        await peer.join()
        job = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert job.state.state_type is JobStateType.COMPLETED
        assert lost == 3
        assert len(peer.started) == 1

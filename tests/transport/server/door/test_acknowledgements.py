"""Acknowledgements that are replayed, forged, or another node's: what was sent counts as taken by its receiver only.

The attacker knows the reply subject in each case, which nobody can guess. The controls are at a server that knows a
token only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from nats.aio.msg import Msg

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.wire.messages import ControlRequest, ControlResponse, HeartbeatResponse
from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.orchestrator import NatsOrchestratorEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.carriers import bid, cancel, no_logs, nothing, take_message
from tests.transport.server.conftest import TOKEN, NodeClient, Servers

PATIENCE_S = 60
ACK = b"{}"
VICTIM = "n-victim"


@dataclass
class Scene:
    """Two nodes and an orchestrator at one server; `orchestrator` may hear everything, `settings` make further ends.

    Attributes
    ----------
    is_guarded
        Whether it is our server.
    """

    is_guarded: bool
    attacker: NodeClient
    victim: NodeClient
    orchestrator: NodeClient
    orchestrator_settings: NatsSettings
    victim_settings: NatsSettings

    async def received(self, listener: NodeClient, subject: str) -> asyncio.Queue[Msg]:
        """Let a client listen, and keep what comes."""
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        await listener.subscribe(subject, cb=messages.put)
        await listener.settle()
        return messages

    async def settle(self) -> None:
        """Wait until what was published has reached everybody."""
        for client in (self.attacker, self.victim, self.orchestrator):
            await client.settle()


@pytest.fixture(params=["guarded", "unguarded"])
async def scene(
    request: pytest.FixtureRequest, servers: Servers, nats_server: PlainNatsServer
) -> AsyncIterator[Scene]:
    if request.param == "unguarded":
        url, token = nats_server.url, nats_server.token
        attacker, victim, orchestrator = [
            await servers.client(url, name=name, token=token) for name in ("n-attacker", VICTIM, "n-o")
        ]
        of_orchestrator, of_victim = (
            NatsSettings((url,), name, token, connect_timeout_s=PATIENCE_S) for name in ("n-o", VICTIM)
        )
        yield Scene(False, attacker, victim, orchestrator, of_orchestrator, of_victim)
        return
    server, secret = await servers.started(), secrets.token_hex(32)
    access = server.access
    own: dict[str, Any] = {"user": access.user, "password": access.password}
    yield Scene(
        True,
        await servers.node(server, {"name": "n-attacker"}),
        await servers.node(server, {"name": VICTIM, "user": VICTIM, "password": secret}),
        await servers.client(server.url, inbox_prefix=access.inbox_prefix, **own),
        NatsSettings(
            (server.url,), "n-o", inbox_prefix=access.inbox_prefix, connect_timeout_s=PATIENCE_S, **own
        ),
        NatsSettings(
            (server.url,),
            VICTIM,
            TOKEN,
            VICTIM,
            secret,
            subjects.node_inbox(VICTIM),
            connect_timeout_s=PATIENCE_S,
        ),
    )


async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse(last_compute_seq_num=1)


@pytest.fixture
async def orders(scene: Scene) -> AsyncIterator[NatsOrchestratorEnd]:
    """The end that sends orders."""
    end = NatsOrchestratorEnd(scene.orchestrator_settings, SystemClock())
    await end.serve(answer, take_message)
    yield end
    await end.close()


async def next_of(messages: asyncio.Queue[Msg]) -> Msg:
    return await asyncio.wait_for(messages.get(), PATIENCE_S)


async def test_an_acknowledgement_that_is_sent_again_takes_no_later_order(
    scene: Scene, orders: NatsOrchestratorEnd
) -> None:
    received = await scene.received(scene.victim, subjects.orders(VICTIM))
    first = asyncio.create_task(orders.send(VICTIM, cancel(1)))
    reply = (await next_of(received)).reply
    await scene.victim.publish(reply, ACK)
    await asyncio.wait_for(first, PATIENCE_S)
    second = asyncio.create_task(orders.send(VICTIM, cancel(2)))
    later = await next_of(received)
    assert later.reply != reply
    for _ in range(3):
        await scene.victim.publish(reply, ACK)
    await scene.settle()
    assert not second.done()
    await scene.victim.publish(later.reply, ACK)
    await asyncio.wait_for(second, PATIENCE_S)


async def test_another_node_can_not_acknowledge_an_order(scene: Scene, orders: NatsOrchestratorEnd) -> None:
    received = await scene.received(scene.victim, subjects.orders(VICTIM))
    sending = asyncio.create_task(orders.send(VICTIM, cancel(1)))
    order = await next_of(received)
    await scene.attacker.publish(order.reply, ACK)
    await scene.settle()
    if not scene.is_guarded:
        # The control: the order counts as taken, though its node has said nothing.
        await asyncio.wait_for(sending, PATIENCE_S)
        return
    assert not sending.done()
    await scene.victim.publish(order.reply, ACK)
    await asyncio.wait_for(sending, PATIENCE_S)


async def test_another_node_can_not_acknowledge_a_report_in_place_of_the_orchestrator(scene: Scene) -> None:
    received = await scene.received(scene.orchestrator, subjects.reports(VICTIM))
    node = NatsComputeEnd(VICTIM, scene.victim_settings, SystemClock())
    await node.connect(VICTIM, nothing, no_logs)
    try:
        sending = asyncio.create_task(node.send(bid(1)))
        report = await next_of(received)
        await scene.attacker.publish(report.reply, ACK)
        await scene.settle()
        if not scene.is_guarded:
            # The control: the node would forget a report that nobody has stored.
            await asyncio.wait_for(sending, PATIENCE_S)
            return
        assert not sending.done()
        await scene.orchestrator.publish(report.reply, ACK)
        await until(sending.done, PATIENCE_S)
        await sending
    finally:
        await node.close()

"""What one node tries against another one, at our server and, as the control, at one that knows a token only."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from nats.aio.msg import Msg

from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.server.door.permissions import OWN_INBOX
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.server.conftest import NodeClient, Servers

PATIENCE_S = 60

Connect = Callable[..., Any]


@dataclass
class Scene:
    """Three clients of a server.

    Attributes
    ----------
    attacker, victim, orchestrator
        Two nodes, and who hears them.
    objections
        What the server said to the attacker.
    """

    attacker: NodeClient
    victim: NodeClient
    orchestrator: NodeClient
    objections: list[str] = field(default_factory=list)

    async def hears(self, listener: NodeClient, subject: str) -> list[bytes]:
        """Let a client listen; what it hears is added to the list."""
        heard: list[bytes] = []

        async def note(message: Msg) -> None:
            heard.append(message.data)

        await listener.subscribe(subject, cb=note)
        await listener.settle()
        return heard


@dataclass
class Own:
    """How a node of ours connects."""

    node_id: str
    secret: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def options(self) -> dict[str, Any]:
        return {"name": self.node_id, "user": self.node_id, "password": self.secret}


@pytest.fixture(params=["official", "ours"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the attacker is."""
    return str(request.param)


@pytest.fixture
async def guarded(servers: Servers, kind: str) -> Scene:
    """Nodes at our server; the victim is of ours."""
    server = await servers.started()
    return await scene_at(
        servers, server, Own("n-attacker").options if kind == "ours" else {"name": "n-attacker"}
    )


@pytest.fixture
async def unguarded(servers: Servers, kind: str, nats_server: PlainNatsServer) -> AsyncIterator[Scene]:
    """The same clients at a server with a token and nothing else."""
    objections: list[str] = []
    clients = [
        await servers.client(nats_server.url, objections, name=name, token=nats_server.token)
        for name in ("n-attacker", "n-victim", "n-orchestrator")
    ]
    yield Scene(clients[0], clients[1], clients[2], objections)


async def scene_at(servers: Servers, server: NatsServer, attacker: dict[str, Any]) -> Scene:
    objections: list[str] = []
    access = server.access
    return Scene(
        await servers.node(server, attacker, objections),
        await servers.node(server, Own("n-victim").options),
        await servers.client(
            server.url, user=access.user, password=access.password, inbox_prefix=access.inbox_prefix
        ),
        objections,
    )


SPOKEN_FOR_OTHERS = [
    subjects.control("n-victim"),
    subjects.reports("n-victim"),
    subjects.requests("n-victim"),
    "bacalhau.global.compute.n-victim.out.heartbeat",
    "node.management.n-victim.RegisterNode/v1",
    "node.orchestrator.n-orchestrator.OnRunComplete/v1",
    # Orders that only the orchestrator gives, to another node and to oneself.
    subjects.orders("n-victim"),
    subjects.orders("n-attacker"),
    subjects.logs("n-victim"),
    # Log lines of another node's execution, and the news that its streams are no longer read.
    subjects.stream_inbox("n-victim") + "t0ken001",
    subjects.stream_heartbeat("n-victim"),
    # Answers that nobody asked this node for.
    f"{OWN_INBOX}.someone.else",
    f"{subjects.node_inbox('n-victim')}.someone.else",
    "_INBOX.someone.else",
    "anything.else",
]


@pytest.mark.parametrize("subject", SPOKEN_FOR_OTHERS)
async def test_a_node_can_not_publish_where_it_has_no_business(guarded: Scene, subject: str) -> None:
    heard = await guarded.hears(guarded.orchestrator, subject)
    await guarded.attacker.publish(subject, b"forged")
    await guarded.attacker.settle()
    await guarded.orchestrator.settle()
    assert not heard
    assert subject.lower() in guarded.objections[0].lower()


@pytest.mark.parametrize("subject", SPOKEN_FOR_OTHERS)
async def test_without_our_door_it_could(unguarded: Scene, subject: str) -> None:
    heard = await unguarded.hears(unguarded.orchestrator, subject)
    await unguarded.attacker.publish(subject, b"forged")
    await until(lambda: heard == [b"forged"], PATIENCE_S)
    assert not unguarded.objections


READ_OF_OTHERS = [
    (subjects.orders("n-victim"), subjects.orders("n-victim")),
    ("bacalhau.global.compute.*.in.msgs", subjects.orders("n-victim")),
    (subjects.control("n-victim"), subjects.control("n-victim")),
    (subjects.reports("n-attacker"), subjects.reports("n-attacker")),
    ("node.compute.>", subjects.logs("n-victim")),
    (f"{OWN_INBOX}.>", f"{OWN_INBOX}.a.b"),
    (f"{subjects.node_inbox('n-victim')}.>", f"{subjects.node_inbox('n-victim')}.a.b"),
    ("_SINBOX.>", subjects.stream_inbox("n-victim") + "t0ken001"),
    ("*.*.*", f"{OWN_INBOX}.a.b"),
    (">", subjects.orders("n-victim")),
]


@pytest.mark.parametrize(("pattern", "subject"), READ_OF_OTHERS)
async def test_a_node_can_not_listen_where_it_has_no_business(
    guarded: Scene, pattern: str, subject: str
) -> None:
    heard = await guarded.hears(guarded.attacker, pattern)
    await guarded.orchestrator.publish(subject, b"secret")
    await guarded.orchestrator.settle()
    await guarded.attacker.settle()
    assert not heard
    assert pattern.lower() in guarded.objections[0].lower()


@pytest.mark.parametrize(("pattern", "subject"), READ_OF_OTHERS)
async def test_without_our_door_it_would_hear(unguarded: Scene, pattern: str, subject: str) -> None:
    heard = await unguarded.hears(unguarded.attacker, pattern)
    await unguarded.orchestrator.publish(subject, b"secret")
    await until(lambda: heard == [b"secret"], PATIENCE_S)


async def test_an_official_eavesdropper_on_inboxes_hears_nothing_of_a_node_of_ours(servers: Servers) -> None:
    server = await servers.started()
    scene = await scene_at(servers, server, {"name": "n-attacker"})
    heard = await scene.hears(scene.attacker, "_INBOX.>")

    async def answer(message: Msg) -> None:
        await message.respond(b"the answer")

    await scene.orchestrator.subscribe(subjects.control("n-victim"), cb=answer)
    await scene.orchestrator.settle()
    reply = await scene.victim.request(subjects.control("n-victim"), b"?", timeout=PATIENCE_S)
    assert reply.data == b"the answer"
    await scene.attacker.settle()
    assert not heard
    assert not scene.objections


async def test_the_same_eavesdropper_hears_official_nodes_which_are_one_trust_domain(
    servers: Servers,
) -> None:
    server = await servers.started()
    scene = await scene_at(servers, server, {"name": "n-attacker"})
    heard = await scene.hears(scene.attacker, "_INBOX.>")
    other = await servers.node(server, {"name": "n-official"})

    async def answer(message: Msg) -> None:
        await message.respond(b"the answer")

    await scene.orchestrator.subscribe(subjects.control("n-official"), cb=answer)
    await scene.orchestrator.settle()
    await other.request(subjects.control("n-official"), b"?", timeout=PATIENCE_S)
    await until(lambda: heard == [b"the answer"], PATIENCE_S)


async def test_a_node_answers_what_it_was_sent_once_and_to_nobody_else(guarded: Scene) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"{}")
        await message.respond(b"again")

    await guarded.attacker.subscribe(subjects.orders("n-attacker"), cb=answer)
    await guarded.attacker.settle()
    heard = await guarded.hears(guarded.orchestrator, f"{OWN_INBOX}.acks.*")
    await guarded.orchestrator.publish(subjects.orders("n-attacker"), b"order", reply=f"{OWN_INBOX}.acks.1")
    await until(lambda: guarded.objections, PATIENCE_S)
    await guarded.orchestrator.settle()
    assert heard == [b"{}"]


async def test_questions_about_connections_can_not_be_asked_or_heard_by_a_node(
    servers: Servers, guarded: Scene
) -> None:
    heard = await guarded.hears(guarded.attacker, "$SYS.REQ.USER.AUTH")
    heard_by_orchestrator = await guarded.hears(guarded.orchestrator, "$SYS.>")
    await guarded.attacker.publish("$SYS.REQ.USER.AUTH", b"?")
    await guarded.attacker.settle()
    assert len(guarded.objections) == 2
    assert not heard
    assert not heard_by_orchestrator

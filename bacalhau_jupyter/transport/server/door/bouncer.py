"""Ends connections of nodes: of those that flood, that were deleted, and that have too many.

The server has no limit of how much a client may send. Clients that send faster than the orchestrator reads fill what
the server keeps for it, and then the server cuts the orchestrator's connection: one node would cut off all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.ids import uuid4
from bacalhau_jupyter.lib.nearby import bracketed, is_own_address
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.inbox import Inbox, Question
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.door.loads import Count, counts_of, question, server_of, too_much
from bacalhau_jupyter.transport.server.door.penalties import Penalties

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

MOST_CONNECTIONS = 8
"""Connections of one node; a further one ends the oldest. A node needs one."""
MOST_NODES = 65_536
LOOK_S = 0.5
"""Seconds between two looks at what waits for the orchestrator."""
BEHIND = 8 << 20
"""Bytes that wait for it, from which on it is behind."""
_LISTED = 512
_ANSWER_S = 10.0
_NOWHERE = "_INBOX.kicked"
_SERVER = "the NATS server"
_ANY_SERVER = "PING"
_UNDECIDED = "$G"
"""The server's account of connections that were not let in yet; nobody else is in it."""


class Bouncer:
    """Knows which connections a node has, and who stays outside.

    Parameters
    ----------
    account
        The server's account that nodes use.
    orchestrator
        The user of the orchestrator itself.
    clock
        Monotonic time decides how long somebody stays outside.
    """

    def __init__(self, account: str, orchestrator: str, clock: Clock) -> None:
        self._clock = clock
        self._account = account
        self._orchestrator = orchestrator
        self._own: int | None = None
        self._server = ""
        self._nodes: OrderedDict[str, dict[int, str]] = OrderedDict()
        self._owners: dict[int, str] = {}
        self._own_hosts: set[str] = set()
        self._penalties = Penalties()
        self._connection: Connection | None = None
        self._inbox: Inbox | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self, settings: NatsSettings) -> None:
        """Connect as a user of the server's own account; raises DeliveryError where that fails."""
        self._nodes.clear()
        self._owners.clear()
        self._own = None
        self._connection = connection = Connection(settings, self._clock)
        self._inbox = Inbox(connection, uuid4)
        connection.subscribe(f"$SYS.ACCOUNT.{self._account}.CONNECT", self._came)
        connection.subscribe(f"$SYS.ACCOUNT.{self._account}.DISCONNECT", self._went)
        await connection.open()
        if not connection.state.is_up:
            raise connection.down_error()
        self._watching = asyncio.create_task(self._watch(), name="floods of the link between nodes")

    async def close(self) -> None:
        """Let go of the server."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # ---- at the door

    def objection(self, node_id: str, host: str, *, is_known: bool) -> str:
        """Say why somebody stays outside for now; empty if he does not.

        Parameters
        ----------
        is_known
            Whether it is a node with a secret of its own that was here before: others at its address are not its fault.
        """
        names = [_name(node_id)] if is_known else [_name(node_id), _address(host)]
        return self._penalties.objection(names, self._clock.monotonic_ns())

    async def admitted(self, node_id: str, client: int, host: str, server: str) -> None:
        """Note a connection that may come in."""
        self._server = server
        connections = self._nodes.setdefault(node_id, {})
        self._nodes.move_to_end(node_id)
        connections[client] = host
        # Found out once: it is asked for with each message.
        if is_own_address(f"//{bracketed(host)}"):
            self._own_hosts.add(host)
        else:
            self._own_hosts.discard(host)
        self._owners[client] = node_id
        if len(self._nodes) > MOST_NODES:
            _, forgotten = self._nodes.popitem(last=False)
            for each in forgotten:
                self._owners.pop(each, None)
        if len(connections) > MOST_CONNECTIONS:
            await self._kick(next(iter(connections)))

    def connections_of(self, node_id: str) -> list[int]:
        """Return the server's numbers of a node's connections, the oldest first."""
        return list(self._nodes.get(node_id, ()))

    def is_here(self, node_id: str) -> bool:
        """Whether a node has connections, all of them from addresses of this machine."""
        connections = self._nodes.get(node_id)
        return connections is not None and self._own_hosts.issuperset(connections.values())

    async def cut(self, node_id: str) -> None:
        """End all connections of a node."""
        for client in self.connections_of(node_id):
            await self._kick(client)

    async def dismiss_unheard(self) -> None:
        """End the connections that wait at the door, so that they come again.

        Who asked before anybody listened gets no answer: the server would keep him for its whole time limit, and then
        say that he may not come in.
        """
        try:
            answer = await self._ask(question(acc=_UNDECIDED), _ANY_SERVER)
            self._server = server_of(answer)
            for each in counts_of(answer)[0]:
                await self._kick(each.client)
        except (DeliveryError, TimeoutError) as error:
            _log.debug("the NATS server can't be asked who waits at its door: %s", error)

    async def _kick(self, client: int) -> None:
        self._forget(client)
        if self._connection is not None:
            with contextlib.suppress(DeliveryError):
                # Without a place for its answer, the server does nothing.
                order = json.dumps({"cid": client}).encode()
                await self._connection.publish(f"$SYS.REQ.SERVER.{self._server}.KICK", order, _NOWHERE)

    def _forget(self, client: int) -> None:
        node_id = self._owners.pop(client, "")
        connections = self._nodes.get(node_id)
        if connections is not None:
            connections.pop(client, None)
            if not connections:
                del self._nodes[node_id]

    # ---- what the server tells

    async def _came(self, message: Msg) -> None:
        user, client, server = _client_of(message.data)
        if user == self._orchestrator:
            self._own, self._server = client, server

    async def _went(self, message: Msg) -> None:
        _, client, _ = _client_of(message.data)
        self._forget(client)

    # ---- floods

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if self._own is not None and await self._waiting(self._own) > BEHIND:
                    await self._cut_floods()
            except (DeliveryError, TimeoutError) as error:
                _log.debug("the NATS server can't be asked what waits for the orchestrator: %s", error)

    async def _waiting(self, client: int) -> int:
        _, waiting = counts_of(await self._ask(question(cid=client)))
        return waiting

    async def _cut_floods(self) -> None:
        before = await self._counts()
        begun_ns = self._clock.monotonic_ns()
        await asyncio.sleep(LOOK_S)
        after = await self._counts()
        passed_s = (self._clock.monotonic_ns() - begun_ns) / SECOND
        for client in too_much(before, after, passed_s):
            node_id = self._owners.get(client)
            if node_id is not None:
                await self._cut_flood(node_id, self._nodes[node_id][client])
        await asyncio.sleep(LOOK_S)
        if self._own is not None and await self._waiting(self._own) > BEHIND:
            _log.warning("the orchestrator connects again, so that it need not read what floods left")
            await self._kick(self._own)

    async def _cut_flood(self, node_id: str, host: str) -> None:
        now_ns = self._clock.monotonic_ns()
        self._penalties.add(_name(node_id), now_ns)
        self._penalties.add(_address(host), now_ns)
        _log.warning(
            "node %s at %s sends more than the orchestrator can read; it is cut off for a while",
            node_id,
            host,
        )
        await self.cut(node_id)

    async def _counts(self) -> list[Count]:
        counts: dict[int, Count] = {}
        for order in ("msgs_from", "bytes_from"):
            listed, _ = counts_of(await self._ask(question(sort=order, limit=_LISTED)))
            counts |= {each.client: each for each in listed}
        return list(counts.values())

    async def _ask(self, options: bytes, server: str = "") -> bytes:
        assert self._inbox is not None, "it is open"
        asked = Question(f"$SYS.REQ.SERVER.{server or self._server}.CONNZ", options, _SERVER)
        return await self._inbox.ask(asked, _ANSWER_S)


def _name(node_id: str) -> str:
    return f"node {node_id}"


def _address(host: str) -> str:
    return f"address {host}"


def _client_of(event: bytes) -> tuple[str, int, str]:
    """Return user and number of the connection that an event of the server is about, and the server's own key."""
    try:
        facts = json.loads(event)
        client = facts["client"]
        return str(client.get("user") or ""), int(client["id"]), str(facts["server"]["id"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", 0, ""

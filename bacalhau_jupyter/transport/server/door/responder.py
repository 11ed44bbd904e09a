"""Answers the NATS server's questions about connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.door.bouncer import Bouncer
from bacalhau_jupyter.transport.server.door.claims import Question, Signer, read_question
from bacalhau_jupyter.transport.server.door.doorkeeper import Admission, Doorkeeper, Refusal, shown
from bacalhau_jupyter.transport.server.door.identities import Identities
from bacalhau_jupyter.transport.server.quiet import QuietLog

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

SUBJECT = "$SYS.REQ.USER.AUTH"
MOST_AT_ONCE = 256
"""Questions that are worked on; further ones wait, as the connections do that they are about."""


class Responder:
    """Asks what is kept of a node, lets the doorkeeper decide, and signs.

    Parameters
    ----------
    identities
        What is kept of nodes with a secret.
    bouncer
        Knows who stays outside for now, and hears who comes in.
    signer
        Makes the answers that the server accepts.
    clock
        Dates them.
    """

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        identities: Identities,
        signer: Signer,
        clock: Clock,
        bouncer: Bouncer,
    ) -> None:
        self._doorkeeper = doorkeeper
        self._identities = identities
        self._signer = signer
        self._bouncer = bouncer
        self._clock = clock
        self._refusals = QuietLog(_log, "refused connections", clock)
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connection: Connection | None = None

    async def open(self, settings: NatsSettings) -> None:
        """Connect, and answer from now on.

        Raises
        ------
        DeliveryError
            The server does not take the connection.
        """
        self._connection = connection = Connection(settings, self._clock)
        connection.subscribe(SUBJECT, self._take)
        await connection.open()
        if not connection.state.is_up:
            raise connection.down_error()

    async def close(self) -> None:
        """Let go of the questions that are open; their connections end by the server's time limit."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    async def answer(self, text: bytes) -> bytes | None:
        """Return the answer to a question; None where it can't be read, and nobody could be let in or refused."""
        try:
            question = read_question(text)
        except BacalhauError as error:
            _log.warning("%s", error.message)
            return None
        verdict = await self._verdict(question)
        now_s = self._clock.now_ns() // SECOND
        if isinstance(verdict, Refusal):
            self._refusals.tell(logging.WARNING, verdict.reason)
            return self._signer.refusal(question, verdict.reason, now_s)
        caller = question.caller
        await self._bouncer.admitted(caller.node_id, question.client, caller.host, question.server)
        return self._signer.admission(question, verdict.permissions, now_s)

    async def _verdict(self, question: Question) -> Admission | Refusal:
        caller = question.caller
        verdict = self._doorkeeper.decide(caller, None)
        if isinstance(verdict, Refusal):
            # Who would be refused anyhow makes no work for a store.
            return verdict
        try:
            kept = await self._identities.get(caller.node_id)
            verdict = self._doorkeeper.decide(caller, kept)
            if isinstance(verdict, Admission):
                is_known = kept is not None
                if reason := self._bouncer.objection(caller.node_id, caller.host, is_known=is_known):
                    return Refusal(f"Node {shown(caller.node_id)} is refused: {shown(reason)}.")
            if isinstance(verdict, Admission) and verdict.enrolled:
                # Another connection may have enrolled the ID meanwhile: what is kept decides.
                kept = await self._identities.put(caller.node_id, verdict.enrolled)
                verdict = self._doorkeeper.decide(caller, kept)
        except Exception as error:
            _log.warning("what is kept of nodes can't be asked", exc_info=error)
            return Refusal(f"A client from {caller.host} is refused: what is kept of nodes can't be asked.")
        return verdict

    async def _take(self, message: Msg) -> None:
        await self._room.acquire()
        task = asyncio.create_task(self._reply(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _reply(self, message: Msg) -> None:
        answer = await self.answer(message.data)
        if answer is not None and message.reply and self._connection is not None:
            # Where the connection is gone meanwhile, so is the one that was asked about.
            with contextlib.suppress(DeliveryError):
                await self._connection.publish(message.reply, answer)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a question about a connection was not answered", exc_info=error)

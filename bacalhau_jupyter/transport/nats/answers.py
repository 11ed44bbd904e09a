"""Answers to messages go out in the order of the messages, and an acknowledgement never right after a refusal."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass

from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats import frames, subjects
from bacalhau_jupyter.transport.nats.connection import Connection

NACK_FIRST_S = 0.1
NACK_LIMIT_S = 5.0
"""Seconds after which a peer may send a refused message again: the first time, and at most."""

WENT_AWAY = "the other side went away"


@dataclass
class Expected:
    """A message that was not answered yet, and the answer that waits."""

    reply: str
    answer: bytes = b""


class Answers:
    """The answers to each node's messages.

    An official sender looks at its answers each 10 ms. It takes an acknowledgement for the messages before it, too, so
    none may overtake another answer. And where it sees a refusal and a later acknowledgement with one look, it stops
    sending because of the former and drops the plan to go on because of the latter. So acknowledgements wait a while
    after a refusal: meanwhile it has forgotten what they belong to, and ignores them.

    Parameters
    ----------
    connection
        Carries the answers; its settings say how long acknowledgements wait.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hold_s = connection.settings.answer_hold_s
        self._expected: dict[str, deque[Expected]] = {}
        self._holds: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, key: str, reply: str) -> Expected:
        """Note that a message of a node arrived; what came after it is answered after it."""
        expected = Expected(reply)
        self._expected.setdefault(key, deque()).append(expected)
        return expected

    def count(self, key: str) -> int:
        """Return how many messages of a node were not answered yet."""
        return len(self._expected.get(key, ()))

    async def give(self, key: str, expected: Expected, answer: bytes) -> None:
        """Answer a message, as soon as those before it are answered."""
        expected.answer = answer
        await self._send(key)

    async def refuse(self, key: str, reply: str, answer: bytes) -> None:
        """Refuse a message at once that was not taken in."""
        self._hold(key)
        await self._publish(reply, answer)

    async def close(self) -> None:
        """Refuse what was not answered, so that it comes again; also what was to be acknowledged after a refusal."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        expected, self._expected = self._expected, {}
        for key, waiting in expected.items():
            for each in waiting:
                answer = each.answer
                if not answer or (answer == frames.ACK and key in self._holds):
                    answer = frames.nack(WENT_AWAY, NACK_FIRST_S)
                if answer != frames.ACK:
                    self._hold(key)
                await self._publish(each.reply, answer)

    async def _send(self, key: str) -> None:
        """Send the answers of a node's messages up to the first that has none, or has to wait."""
        waiting = self._expected.get(key)
        while waiting and waiting[0].answer and self._expected.get(key) is waiting:
            is_refusal = waiting[0].answer != frames.ACK
            if key in self._holds and not is_refusal:
                return
            first = waiting.popleft()
            if is_refusal:
                self._hold(key)
            await self._publish(first.reply, first.answer)
        if not waiting and self._expected.get(key) is waiting:
            del self._expected[key]

    def _hold(self, key: str) -> None:
        """Let acknowledgements to a node wait from now on, for a while."""
        if key not in self._holds:
            loop = asyncio.get_running_loop()
            self._holds[key] = loop.call_later(self._hold_s, self._go_on, key)

    def _go_on(self, key: str) -> None:
        del self._holds[key]
        if key in self._expected:
            task = asyncio.create_task(self._send(key), name=f"answers to {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish(self, reply: str, data: bytes) -> None:
        if subjects.is_reply(reply):
            with contextlib.suppress(DeliveryError):
                await self._connection.publish(reply, data)

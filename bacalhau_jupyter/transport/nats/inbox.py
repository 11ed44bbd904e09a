"""Questions and their answers: one subscription for the answers, one token for each question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.ids import IdSource
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.connection import Connection

if TYPE_CHECKING:
    from nats.aio.msg import Msg

NO_RESPONDERS = "503"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes
    ----------
    subject, data, headers
        What is published.
    listener
        Who should answer, for the sentence when nobody does.
    """

    subject: str
    data: bytes
    listener: str
    headers: dict[str, str] | None = None


class Inbox:
    """Where answers to this end's questions arrive.

    Parameters
    ----------
    connection
        Carries the questions.
    ids
        Makes tokens.
    """

    def __init__(self, connection: Connection, ids: IdSource) -> None:
        self._connection = connection
        self._ids = ids
        self._subject = f"{connection.settings.inbox_prefix}.{ids().replace('-', '')}"
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._listeners: dict[str, Callable[[bytes], None]] = {}
        connection.subscribe(f"{self._subject}.*", self._take)
        connection.watch(lambda: None, self._lost)

    async def ask(self, question: Question, timeout_s: float) -> bytes:
        """Publish, and return the first answer.

        Raises
        ------
        TimeoutError
            There was no answer in time.
        DeliveryError
            Nobody listens there, or the connection is down.
        """
        token = self._ids()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = answer
        limit: asyncio.TimerHandle | None = None
        try:
            await self._connection.publish(
                question.subject, question.data, f"{self._subject}.{token}", question.headers
            )
            # From here on: nats-py may swallow the cancellation by which `asyncio.timeout` works.
            limit = loop.call_later(timeout_s, _expire, answer)
            message = await answer
        finally:
            if limit is not None:
                limit.cancel()
            self._waiting.pop(token, None)
            answer.cancel()
        if is_unheard(message):
            raise DeliveryError(f"{question.listener} does not listen", component="NATS", retryable=True)
        return message.data

    def listen(self, callback: Callable[[bytes], None]) -> str:
        """Return a subject of which each message goes to `callback`, until `unlisten`."""
        token = self._ids()
        self._listeners[token] = callback
        return f"{self._subject}.{token}"

    def unlisten(self, subject: str) -> None:
        """Stop listening to a subject of `listen`."""
        self._listeners.pop(subject.rpartition(".")[2], None)

    async def _take(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        answer = self._waiting.get(token)
        if answer is not None:
            if not answer.done():
                answer.set_result(message)
            return
        listener = self._listeners.get(token)
        if listener is not None:
            listener(message.data)

    def _lost(self) -> None:
        error = self._connection.down_error()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)


def _expire(answer: asyncio.Future[Msg]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def is_unheard(message: Msg) -> bool:
    """Whether the server answered in place of somebody who does not listen."""
    return not message.data and bool(message.headers) and message.headers.get("Status") == NO_RESPONDERS  # type: ignore[union-attr]

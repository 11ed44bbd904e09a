"""Questions to the cluster for TAB: an answer that takes longer than a person waits comes with the next TAB."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.api import AsyncAPI
    from bacalhau_jupyter.grammar.session import Session

ANSWER_S = 0.2
"""Seconds a person waits for TAB at most."""
_FRESH_S = 3.0
_GIVE_UP_S = 10.0

Question = Callable[["AsyncAPI"], Awaitable[Any]]


class Lookups:
    """Asks on behalf of one session; starts no node.

    Parameters
    ----------
    session
        Gives a client where that takes no node to be started.
    """

    def __init__(self, session: Session) -> None:
        # Imported before anybody waits for an answer.
        for module in ("bacalhau_jupyter.client.client", "aiohttp.client", "aiohttp.connector"):
            importlib.import_module(module)
        self._peek = session.peek
        self._running: dict[tuple[str, str], threading.Thread] = {}
        self._answers: dict[tuple[str, str], tuple[float, Any]] = {}

    def ask(self, context: str | None, name: str, question: Question) -> Any:
        """Return the answer, or an earlier one, or None where there is none in time.

        Parameters
        ----------
        context
            Saved connection to ask, or None.
        name
            Names the question: an answer is kept for a moment.
        question
            Asks the API.
        """
        key = (context or "", name)
        at, answer = self._answers.get(key, (float("-inf"), None))
        if time.monotonic() - at < _FRESH_S:
            return answer
        thread = self._running.get(key)
        if thread is None or not thread.is_alive():
            # A daemon: neither a kernel nor a shell waits at its end for a cluster that does not answer.
            thread = threading.Thread(target=self._answer, args=(key, context, question), daemon=True)
            self._running[key] = thread
            thread.start()
        thread.join(ANSWER_S)
        return self._answers.get(key, (0.0, None))[1]

    def _answer(self, key: tuple[str, str], context: str | None, question: Question) -> None:
        try:
            client = self._peek(context)
            if client is not None:
                answer = client.portal.run(_in_time(question, client.api()))
                self._answers[key] = (time.monotonic(), answer)
        except Exception:
            return


async def _in_time(question: Question, api: AsyncAPI) -> Any:
    async with asyncio.timeout(_GIVE_UP_S):
        return await question(api)


_lookups: WeakKeyDictionary[Session, Lookups] = WeakKeyDictionary()


def lookups_of(session: Session) -> Lookups:
    """Return the lookups of a session, made on first use."""
    if session not in _lookups:
        _lookups[session] = Lookups(session)
    return _lookups[session]

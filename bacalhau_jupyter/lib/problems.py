"""The list of failed background tasks, for users to see; and loops that continue after a failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.times import rfc3339

_log = logging.getLogger(__name__)

_LONGEST = 500
RETRY_S = (1.0, 60.0)
"""First and longest pause before a loop that failed is begun again."""


@dataclass(frozen=True)
class Problem:
    """A task that did not succeed the last time.

    Attributes
    ----------
    task
        What it does, in words: ``removing old results``.
    message
        The last error, one sentence.
    since_ns, last_ns
        When it failed first since it last succeeded, and when it failed last; Unix nanoseconds.
    count
        How often it failed since it last succeeded.
    """

    task: str
    message: str
    since_ns: int
    last_ns: int
    count: int = 1

    def to_plain(self) -> dict[str, object]:
        """Return it as the API shows it."""
        return {
            "Task": self.task,
            "Message": self.message,
            "Since": rfc3339(self.since_ns),
            "Last": rfc3339(self.last_ns),
            "Count": self.count,
        }


class Problems:
    """The problems of a process. Any thread may use it.

    Parameters
    ----------
    changed
        Called, on the thread that told it, when a problem came or went; may be set later.
    """

    def __init__(self, clock: Clock | None = None, changed: Callable[[], None] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._problems: dict[str, Problem] = {}
        self.changed = changed

    def tell(self, task: str, error: BaseException | str) -> None:
        """Note that a task failed."""
        now = self._clock.now_ns()
        message = sentence(error)
        with self._lock:
            before = self._problems.get(task)
            since, count = (now, 0) if before is None else (before.since_ns, before.count)
            self._problems[task] = Problem(task, message, since, now, count + 1)
        if before is None or before.message != message:
            self._notify()

    def clear(self, task: str) -> None:
        """Note that a task succeeded."""
        with self._lock:
            gone = self._problems.pop(task, None)
        if gone is not None:
            self._notify()

    def every(self) -> list[Problem]:
        """Return what is wrong now, the oldest problem first."""
        with self._lock:
            return sorted(self._problems.values(), key=lambda problem: problem.since_ns)

    @contextlib.contextmanager
    def watching(self, task: str) -> Iterator[None]:
        """Do one round of a task: an exception is logged and noted, and ends the round only."""
        try:
            yield
        except Exception as error:
            self.failed(task, error)
        else:
            self.clear(task)

    def failed(self, task: str, error: Exception) -> None:
        """Log and note the failure of a task; with its traceback where the error was not made for people."""
        is_expected = isinstance(error, OSError) or hasattr(error, "message") or hasattr(error, "full")
        _log.warning("%s failed: %s", task, sentence(error), exc_info=None if is_expected else error)
        self.tell(task, error)

    async def keep(
        self,
        task: str,
        work: Callable[[], Awaitable[None]],
        pause_s: tuple[float, float] = RETRY_S,
    ) -> None:
        """Run ``work``, which loops, until it returns or this is cancelled; begin it again when it raises.

        The problem that this leaves is cleared when ``work`` has run for longer than the pause before it.
        """
        delays = backoff(*pause_s)
        delay_s = 0.0
        while True:
            calm = asyncio.get_running_loop().call_later(delay_s + pause_s[0], self.clear, task)
            try:
                await work()
                self.clear(task)
                return
            except Exception as error:
                self.failed(task, error)
            finally:
                calm.cancel()
            delay_s = next(delays)
            await asyncio.sleep(delay_s)

    def _notify(self) -> None:
        if self.changed is not None:
            self.changed()


def sentence(error: BaseException | str) -> str:
    """Return an error in one line."""
    if isinstance(error, str):
        text = error
    else:
        own = getattr(error, "message", "") or str(error)
        plain = isinstance(error, OSError) or hasattr(error, "message") or hasattr(error, "full")
        text = own if plain and own else f"{type(error).__name__}: {own}" if own else type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

"""The evaluation broker: which job is evaluated next.

At most one evaluation of a job is in flight; what is asked for meanwhile becomes one more afterwards. Kept in memory
only: at start every job that is not over is evaluated anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.telemetry.base import Readings

NACK_DELAYS_S = (5.0, 30.0)
"""Seconds until a failed evaluation is tried again: the first time, later times."""

LONGEST_WAIT_S = 60.0
"""Seconds after which the clock is read again whatever is due, since wall clocks are set."""

SLACK = 64
"""Overtaken entries of delayed evaluations that are not worth removing."""


@dataclass(frozen=True)
class Evaluation:
    """One look at a job. ``attempt`` counts from 1."""

    job_id: str
    priority: int
    attempt: int = 1


@dataclass
class _Flight:
    attempt: int
    again: int | None = None  # priority of the evaluation asked for meanwhile


class Broker:
    """Queue of evaluations: priority first, then first come, first served.

    Parameters
    ----------
    clock
        Wall time decides when a delayed evaluation is due.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._ready: list[tuple[int, int, str]] = []
        self._queued: dict[str, int] = {}  # job → the priority it is queued with
        self._delayed: list[tuple[int, int, str]] = []
        self._due: dict[str, tuple[int, int]] = {}  # job → when (Unix ns) it is due, and its priority
        self._attempts: dict[str, int] = {}
        self._flying: dict[str, _Flight] = {}
        self._changed = asyncio.Event()

    def enqueue(self, job_id: str, priority: int = 0, at_ns: int | None = None) -> None:
        """Ask for an evaluation, now or at a time (Unix nanoseconds); of several times the earliest counts."""
        if at_ns is not None and at_ns > self._clock.now_ns():
            self._delay(job_id, priority, at_ns)
            return
        self._due.pop(job_id, None)
        flight = self._flying.get(job_id)
        if flight is not None:
            flight.again = priority
        elif self._queued.get(job_id) != priority:
            # An entry with an older priority stays in the heap and is skipped when it surfaces.
            self._queued[job_id] = priority
            heapq.heappush(self._ready, (-priority, next(self._count), job_id))
            self._changed.set()

    def take(self) -> Evaluation | None:
        """Return the next evaluation, or None if none is due; must be answered by `ack` or `nack`."""
        self._ripen()
        while self._ready:
            negative, _, job_id = heapq.heappop(self._ready)
            if self._queued.get(job_id) != -negative or job_id in self._flying:
                continue
            del self._queued[job_id]
            attempt = self._attempts.pop(job_id, 0) + 1
            self._flying[job_id] = _Flight(attempt)
            return Evaluation(job_id, -negative, attempt)
        return None

    def begin(self, job_id: str) -> Evaluation | None:
        """Begin the evaluation of a job that is about to change, ahead of its being asked for; as `take`.

        Returns
        -------
        Evaluation
            None where it has to be asked for: others are due first, or this one is in flight or has failed.
        """
        self._ripen()
        if self._queued or job_id in self._flying or job_id in self._attempts:
            return None
        self._flying[job_id] = _Flight(1)
        return Evaluation(job_id, 0)

    async def dequeue(self) -> Evaluation:
        """Wait for the next evaluation."""
        while (evaluation := self.take()) is None:
            self._changed.clear()
            due = self.due_ns()
            wait_s = LONGEST_WAIT_S if due is None else (due - self._clock.now_ns()) / SECOND
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(wait_s, LONGEST_WAIT_S))):
                    await self._changed.wait()
        return evaluation

    def ack(self, evaluation: Evaluation) -> None:
        """Count an evaluation as done; what was asked of its job meanwhile comes next."""
        flight = self._flying.pop(evaluation.job_id)
        if flight.again is not None:
            self.enqueue(evaluation.job_id, flight.again)

    def nack(self, evaluation: Evaluation) -> None:
        """The evaluation failed; it comes again after a delay."""
        self._flying.pop(evaluation.job_id)
        self._attempts[evaluation.job_id] = evaluation.attempt
        delay_s = NACK_DELAYS_S[min(evaluation.attempt, len(NACK_DELAYS_S)) - 1]
        self._delay(evaluation.job_id, evaluation.priority, self._clock.now_ns() + int(delay_s * SECOND))

    def forget(self, job_id: str) -> None:
        """Drop the delayed evaluation of a job that is over, or was looked at."""
        self._due.pop(job_id, None)

    def due_ns(self) -> int | None:
        """When (Unix nanoseconds) the next delayed evaluation is due, or None."""
        while self._delayed and self._due.get(self._delayed[0][2], (None,))[0] != self._delayed[0][0]:
            heapq.heappop(self._delayed)
        return self._delayed[0][0] if self._delayed else None

    def __len__(self) -> int:
        """How many jobs are queued, delayed or in flight."""
        return len(self._queued.keys() | self._due.keys() | self._flying.keys())

    def levels(self) -> dict[str, Readings]:
        """Return how long the queues are, under the official names."""
        return {
            "eval_broker_ready": lambda: [(len(self._queued), {})],
            "eval_broker_inflight": lambda: [(len(self._flying), {})],
            "eval_broker_waiting": lambda: [(len(self._due), {})],
            "eval_broker_pending": lambda: [
                (sum(flight.again is not None for flight in list(self._flying.values())), {})
            ],
        }

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._changed.set()

    def _delay(self, job_id: str, priority: int, at_ns: int) -> None:
        if job_id in self._due and self._due[job_id][0] <= at_ns:
            return
        if len(self._delayed) > 2 * len(self._due) + SLACK:
            # Entries that were overtaken surface only at their time, which may be tomorrow.
            self._delayed = [
                entry for entry in self._delayed if self._due.get(entry[2], (None,))[0] == entry[0]
            ]
            heapq.heapify(self._delayed)
        self._due[job_id] = (at_ns, priority)
        heapq.heappush(self._delayed, (at_ns, next(self._count), job_id))
        self._changed.set()

    def _ripen(self) -> None:
        now = self._clock.now_ns()
        while (due := self.due_ns()) is not None and due <= now:
            _, _, job_id = heapq.heappop(self._delayed)
            self.enqueue(job_id, self._due[job_id][1])

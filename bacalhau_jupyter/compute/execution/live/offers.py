"""Taking an offer: it is stored together with the bid where that is made at once, and else before it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from bacalhau_jupyter.compute.execution.events import REPORTS, Act, Event, Step
from bacalhau_jupyter.compute.execution.fitting import REPORT_LIMIT, fitting
from bacalhau_jupyter.compute.execution.machine import step
from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.execution.reports import report
from bacalhau_jupyter.compute.execution.runner import Runner
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.link.outbox import Report
from bacalhau_jupyter.compute.link.store import Store
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import DatabaseError

_log = logging.getLogger(__name__)

PROMPT_S = 0.01
"""Seconds that a bid may take to be stored together with the offer, rather than after it."""


class Recorder:
    """Applies events by the clock, and words the reports of what they changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def step(self, record: ExecutionRecord, event: Event) -> Step:
        """Apply an event to a record."""
        result = step(record, event, self._clock.now_ns())
        _log.debug("execution %s: %s", record.id, result.story)
        return result

    def reports(self, result: Step) -> list[Report]:
        """Return the messages that a step instructs to send."""
        now_ns = self._clock.now_ns()
        return [
            (now_ns, fitting(report(act, result.record, now_ns), REPORT_LIMIT))
            for act in result.acts
            if act in REPORTS
        ]


@dataclass(frozen=True)
class Taken:
    """A stored offer: what to do next, and the evaluation that is at work or has ended."""

    step: Step
    evaluation: asyncio.Task[Event]


class Offers:
    """Stores offers.

    Parameters
    ----------
    runner
        Evaluates them.
    store
        Where they are kept.
    capacity
        What an evaluation may have reserved.
    recorder
        Applies the bid.
    """

    def __init__(self, runner: Runner, store: Store, capacity: Capacity, recorder: Recorder) -> None:
        self._runner = runner
        self._store = store
        self._capacity = capacity
        self._recorder = recorder

    async def take(self, offer: Step) -> Taken | None:
        """Store an offer; None where it is known already.

        Raises
        ------
        DatabaseError
            It could not be stored; nothing has happened.
        """
        record = offer.record
        evaluation = asyncio.create_task(self._runner.run(Act.EVALUATE, record))
        await asyncio.wait([evaluation], timeout=PROMPT_S)
        try:
            result, is_new = await self._add(offer, evaluation)
        except BaseException:
            await self._withdraw(record.id, evaluation)
            raise
        if not is_new:
            await self._withdraw(record.id, evaluation)
            return None
        self._runner.teller.received()
        return Taken(result, evaluation)

    async def _add(self, offer: Step, evaluation: asyncio.Task[Event]) -> tuple[Step, bool]:
        if evaluation.done():
            try:
                result = self._recorder.step(offer.record, evaluation.result())
                return result, await self._store.add(result.record, self._recorder.reports(result))
            except DatabaseError:
                raise
            except Exception as error:
                # Of a plug-in; it is found again, and told, when the bid is applied to the stored offer.
                _log.debug("execution %s: the bid can't be stored: %s", offer.record.id, error)
        return offer, await self._store.add(offer.record)

    async def _withdraw(self, execution_id: str, evaluation: asyncio.Task[Event]) -> None:
        """Undo a bid that nobody is to hear of."""
        evaluation.cancel()
        await asyncio.wait([evaluation])
        self._capacity.release(execution_id)

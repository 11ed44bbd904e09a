"""All live executions of this node: events are applied one at a time, stored, then acted upon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.events import (
    Act,
    Event,
    Lost,
    Restored,
    Returned,
    Started,
    Step,
)
from bacalhau_jupyter.compute.execution.live.actor import Actor
from bacalhau_jupyter.compute.execution.live.alarms import Alarms
from bacalhau_jupyter.compute.execution.live.listener import ExecutionListener
from bacalhau_jupyter.compute.execution.live.offers import Offers, Recorder
from bacalhau_jupyter.compute.execution.live.performing import Performer
from bacalhau_jupyter.compute.execution.live.tasks import Tasks
from bacalhau_jupyter.compute.execution.machine import admit
from bacalhau_jupyter.compute.execution.progress import ProgressBoard
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase, Verdict
from bacalhau_jupyter.compute.execution.runner import Runner
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.database import DatabaseError
from bacalhau_jupyter.lib.telemetry.subject import about
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostLink, HostStatus

_log = logging.getLogger(__name__)

STORE_RETRY_S = (0.1, 5.0)
"""First and longest delay, in seconds, before a transition that could not be stored is tried again."""

NOTED_S = 0.05
"""Seconds after which it is stored that a task runs; the end of a shorter one is stored alone."""

_ATTACH = "attach"


class Executions:
    """Applies events to executions, stores what they change, and has the instructions of the state machine carried out.

    Parameters
    ----------
    equipment
        What the node's parts share.
    runner
        Does the work of each phase.
    capacity
        What executions take and give back.
    board
        Shows how far each phase is.
    listener
        Hears of what happened.
    """

    def __init__(
        self,
        equipment: Equipment,
        runner: Runner,
        capacity: Capacity,
        board: ProgressBoard,
        listener: ExecutionListener,
    ) -> None:
        self._settings = equipment.settings
        self._store = equipment.store
        self._clock = equipment.clock
        self._runner = runner
        self._capacity = capacity
        self._board = board
        self._listener = listener
        self._engines = runner.engines
        self._recorder = Recorder(equipment.clock)
        self._offers = Offers(runner, equipment.store, capacity, self._recorder)
        self._alarms = Alarms(self._engines, equipment.clock, self._settings.offer_timeout_s, self._ring)
        self._actors: dict[str, Actor] = {}
        self._admitting: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._cleaned = asyncio.Event()
        self._tasks = Tasks()
        self._performer = Performer(
            equipment,
            runner,
            capacity,
            listener,
            self._tasks,
            apply=self._insist,
            cleaned=self._forget,
        )

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._actors

    def record(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution that is live or still being cleaned up."""
        actor = self._actors.get(execution_id)
        return None if actor is None else actor.record

    def live(self) -> list[ExecutionRecord]:
        """Return the executions that are not over."""
        return [actor.record for actor in self._actors.values() if not actor.record.phase.is_terminal]

    async def admit(self, execution: Execution, direct: bool) -> bool:
        """Take an offered execution; returns after it is stored. False when it was known already.

        Raises
        ------
        DatabaseError
            It could not be stored; nothing has happened.
        """
        return await self._tasks.whole(self._admit(execution, direct))

    async def feed(self, execution_id: str, event: Event) -> bool:
        """Apply an event; returns after the change is stored. False when it changed nothing.

        Raises
        ------
        DatabaseError
            It could not be stored; nothing has happened.
        """
        return await self._tasks.whole(self._apply(execution_id, event))

    async def idle(self) -> None:
        """Wait until no execution is live or being cleaned up."""
        await self._idle.wait()

    async def restore(self, records: Iterable[ExecutionRecord]) -> None:
        """Take up executions of before a restart; returns before slow engines have answered.

        Capacity is taken back first, so that nothing new is accepted in its place.
        """
        asking = []
        for record in records:
            if record.reserved:
                self._capacity.restore(record.id, record.held, record.ports)
            actor = self._add(record)
            if record.phase in (Phase.STARTING, Phase.RUNNING):
                # Its time limit is judged when it is known how the task stands.
                asking.append(record)
            else:
                self._alarms.set(actor)
                await self.feed(record.id, Restored())
        for record in asking:
            with about(job=record.execution.job_id, execution=record.id):
                self._tasks.spawn(self._attach(record), _ATTACH, record.id)

    async def settled(self, timeout_s: float) -> bool:
        """Wait until every restored execution is attached or given up; False where that takes longer."""
        asking = self._tasks.running(_ATTACH)
        return not asking or not (await asyncio.wait(asking, timeout=timeout_s))[1]

    def link_changed(self, link: HostLink, status: HostStatus) -> None:
        """Tell the executions behind a link that it broke, or that it is there again."""
        if status.state in (HostState.CONNECTING, HostState.PAUSED, HostState.REMOVING):
            return
        event: Event = Returned() if status.is_ready else Lost(status.problem, status.is_engine_off)
        for record in self.live():
            if self._engines.link(record) is link:
                if record.phase in (Phase.STARTING, Phase.RUNNING):
                    self._board.remark(record.id, "" if status.is_ready else status.problem)
                self._tasks.spawn(self._insist(record.id, event), "link", record.id)

    async def cleaned_up(self, timeout_s: float) -> None:
        """Wait until what ended so far is cleaned up, for so many seconds at most."""
        if cleaning := self._performer.cleaning():
            await asyncio.wait(cleaning, timeout=timeout_s)

    async def endings(self, timeout_s: float) -> None:
        """Wait until what ended or is being stopped is cleaned up, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(_is_ending(actor.record) for actor in self._actors.values()):
                    self._cleaned.clear()
                    await self._cleaned.wait()

    async def close(self) -> None:
        """Stop looking after executions; what engines run goes on."""
        for actor in self._actors.values():
            if actor.alarm is not None:
                actor.alarm.cancel()
            if actor.note is not None:
                self._tasks.transition(self._note(actor))
        timeout_s = self._settings.stop_timeout_s
        # Transitions first: they are short, and what they store is what the next start goes by.
        await self._tasks.finish_transitions(timeout_s)
        activities = [actor.activity for actor in self._actors.values() if actor.activity is not None]
        await self._tasks.cancel(activities, timeout_s)
        self._actors.clear()
        self._idle.set()

    # ---- inside

    async def _admit(self, execution: Execution, direct: bool) -> bool:
        if execution.id in self._admitting or execution.id in self._actors:
            return False
        self._admitting.add(execution.id)
        try:
            with about(job=execution.job_id, execution=execution.id):
                taken = await self._offers.take(admit(execution, direct, self._clock.now_ns()))
                if taken is None:
                    return False
                self._carry_out(self._add(taken.step.record), taken.step, taken.evaluation)
                if not taken.evaluation.done():
                    self._board.show(execution.id)
                return True
        finally:
            self._admitting.discard(execution.id)

    def _add(self, record: ExecutionRecord) -> Actor:
        actor = self._actors[record.id] = Actor(record)
        self._idle.clear()
        return actor

    async def _apply(self, execution_id: str, event: Event) -> bool:
        actor = self._actors.get(execution_id)
        if actor is None:
            return False
        async with actor.lock:
            result = self._recorder.step(actor.record, event)
            if not result.changed:
                return False
            if _can_wait(event, result):
                # Until it is stored, a crash leaves a start of which the engine knows whether it happened.
                actor.note_later(
                    NOTED_S, lambda: self._tasks.spawn(self._insist_note(actor), "note", execution_id)
                )
            else:
                await self._store.save(result.record, self._recorder.reports(result))
                actor.noted()
            before, actor.record = actor.record, result.record
            self._carry_out(actor, result)
            if isinstance(event, (Lost, Returned)):
                for note in result.record.notes[len(before.notes) :]:
                    self._listener.noted(execution_id, note)
        return True

    async def _note(self, actor: Actor) -> bool:
        """Store what was not stored with its transition."""
        async with actor.lock:
            if actor.note is not None:
                await self._store.save(actor.record)
                actor.noted()
        return True

    async def _insist_note(self, actor: Actor) -> None:
        for delay_s in backoff(*STORE_RETRY_S):
            try:
                await self._tasks.whole(self._note(actor))
                return
            except DatabaseError as error:
                # The end of the task makes room where the disk is full; until then nothing depends on this.
                _log.warning("that execution %s runs can't be stored yet: %s", actor.record.id, error)
            await asyncio.sleep(delay_s)

    def _carry_out(self, actor: Actor, result: Step, evaluation: asyncio.Task[Event] | None = None) -> None:
        # What is begun here logs for this execution.
        with about(job=result.record.execution.job_id, execution=result.record.id):
            self._alarms.set(actor)
            self._performer.perform(actor, result, evaluation)

    def _forget(self, execution_id: str) -> None:
        self._board.forget(execution_id)
        self._actors.pop(execution_id, None)
        self._cleaned.set()
        if not self._actors:
            self._idle.set()

    async def _attach(self, record: ExecutionRecord) -> None:
        """Ask the engine for a task of before the restart."""
        alive = await self._runner.attached(record)
        await self._insist(record.id, Restored(alive, self._engines.runtime(record) if alive else ""))

    async def _insist(self, execution_id: str, event: Event) -> None:
        """Apply an event of our own; a full disk delays it but must not lose it."""
        desperate = False
        for delay_s in backoff(*STORE_RETRY_S):
            try:
                await self.feed(execution_id, event)
                return
            except DatabaseError as error:
                _log.warning("execution %s can't be stored, trying again: %s", execution_id, error)
                if error.full and (record := self.record(execution_id)) is not None:
                    event = await self._runner.make_room(record, event)
            except Exception as error:
                # A mistake of ours or of a plug-in's; the execution must end all the same.
                _log.exception("execution %s: %s can't be recorded", execution_id, type(event).__name__)
                if desperate:
                    return
                event, desperate = self._runner.unrecordable(error), True
            await asyncio.sleep(delay_s)

    def _ring(self, execution_id: str, event: Event) -> None:
        self._tasks.spawn(self._heed(execution_id, event), "alarm", execution_id)

    async def _heed(self, execution_id: str, event: Event) -> None:
        if await self._alarms.is_due(event, lambda: self.record(execution_id)):
            await self._insist(execution_id, event)


def _can_wait(event: Event, result: Step) -> bool:
    """Whether a transition need not be stored at once: nobody hears of it, and a crash before it looks the same."""
    # What a plug-in returned may be no text, which shows when it is stored.
    return isinstance(event, Started) and result.acts == (Act.WAIT,) and type(event.runtime) is str


def _is_ending(record: ExecutionRecord) -> bool:
    return record.phase.is_terminal or record.verdict is not Verdict.NONE

"""Doing what the state machine instructs, after it is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.events import ACTIVITIES, REPORTS, Act, Event, Step
from bacalhau_jupyter.compute.execution.live.actor import Actor
from bacalhau_jupyter.compute.execution.live.listener import ExecutionListener
from bacalhau_jupyter.compute.execution.live.tasks import Tasks
from bacalhau_jupyter.compute.execution.record import Phase
from bacalhau_jupyter.compute.execution.runner import Runner
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.lib.database import DatabaseError

_log = logging.getLogger(__name__)

_CLEAN = "clean"


class Performer:
    """Does what the state machine instructs.

    Parameters
    ----------
    equipment
        What the node's parts share.
    runner
        Does the work of each phase.
    capacity
        What executions take and give back.
    listener
        Hears of what happened.
    tasks
        Own what is begun here.
    apply
        Applies the event that ends an activity, given an execution ID; it must not lose the event.
    cleaned
        Called with the ID of an execution of which nothing is left to do.
    """

    def __init__(
        self,
        equipment: Equipment,
        runner: Runner,
        capacity: Capacity,
        listener: ExecutionListener,
        tasks: Tasks,
        *,
        apply: Callable[[str, Event], Awaitable[None]],
        cleaned: Callable[[str], None],
    ) -> None:
        self._store = equipment.store
        self._cancel_timeout_s = equipment.settings.cancel_timeout_s
        self._runner = runner
        self._engines = runner.engines
        self._capacity = capacity
        self._listener = listener
        self._tasks = tasks
        self._apply = apply
        self._cleaned = cleaned

    def perform(self, actor: Actor, result: Step, evaluation: asyncio.Task[Event] | None = None) -> None:
        """Begin what a step instructs; ``evaluation`` is that of an offer, where it has begun before."""
        record = result.record
        for act in result.acts:
            self._perform(actor, act, evaluation)
        if any(act in REPORTS for act in result.acts):
            self._listener.reported()
        if record.phase.is_terminal:
            _log.info("execution %s: %s", record.id, result.story)
            self._runner.teller.ended(record)
            self._listener.ended(record.id)

    def cleaning(self) -> list[asyncio.Task[None]]:
        """Return what is cleaning up after executions that ended."""
        return self._tasks.running(_CLEAN)

    # ---- inside

    def _perform(self, actor: Actor, act: Act, evaluation: asyncio.Task[Event] | None) -> None:
        record = actor.record
        if act in ACTIVITIES:
            begun = evaluation if act is Act.EVALUATE else None
            actor.activity = begun or asyncio.create_task(self._runner.run(act, record))
            self._tasks.spawn(self._drive(actor, act, actor.activity), act.value, record.id)
            if act is Act.FETCH:
                self._listener.capacity_changed()
        elif act is Act.INTERRUPT:
            self._capacity.leaving(record.id)
            self._interrupt(actor)
        elif act is Act.RESERVE:
            self._capacity.restore(record.id, record.held, record.ports)
        elif act is Act.RELEASE and self._capacity.release(record.id):
            self._listener.capacity_changed()
        elif act is Act.CLEAN:
            self._tasks.spawn(self._clean(actor), _CLEAN, record.id)

    async def _drive(self, actor: Actor, act: Act, activity: asyncio.Task[Event]) -> None:
        """Wait for an activity and apply the event that ends it."""
        # The activity may be interrupted at any time, the delivery of its event may not.
        try:
            await asyncio.wait([activity])
        except asyncio.CancelledError:
            activity.cancel()
            await asyncio.wait([activity])
            raise
        if activity.cancelled():
            if act in (Act.START, Act.WAIT):
                await self._engines.halt(actor.record)
            event: Event = self._runner.interrupted(act)
        else:
            event = activity.result()
        if actor.activity is activity:
            actor.activity = None
        await self._apply(actor.record.id, event)

    def _interrupt(self, actor: Actor) -> None:
        if actor.record.phase is Phase.RUNNING:
            actor.halting = self._tasks.spawn(self._halt(actor), "halt", actor.record.id)
        elif actor.activity is not None:
            actor.activity.cancel()

    async def _halt(self, actor: Actor) -> None:
        """Stop a running task; if it does not end in time, stop waiting for it."""
        await self._engines.halt(actor.record)
        while (activity := actor.activity) is not None:
            await asyncio.wait([activity], timeout=self._cancel_timeout_s)
            if activity.done():
                return
            if self._engines.is_away(actor.record):
                await self._engines.reached(actor.record)
                continue
            activity.cancel()
            _log.warning("execution %s does not end; the node stops waiting for it", actor.record.id)
            return

    async def _clean(self, actor: Actor) -> None:
        record = actor.record
        if actor.halting is not None:
            # The engine gets one instruction at a time for an execution.
            await asyncio.wait([actor.halting], timeout=self._cancel_timeout_s)
        with contextlib.suppress(DatabaseError):
            if await self._runner.clean(record):
                await self._store.cleaned([record.id])
        self._cleaned(record.id)

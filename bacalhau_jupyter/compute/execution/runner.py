"""The activities of an execution: each does the I/O of one phase and returns the event that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Mapping, Sequence

import msgspec

from bacalhau_jupyter.compute.bidder import Bidder
from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.engine_calls import EngineCalls
from bacalhau_jupyter.compute.execution.events import (
    Act,
    Ended,
    Event,
    Faulted,
    Fetched,
    Published,
    Started,
    Unpublished,
)
from bacalhau_jupyter.compute.execution.progress import ProgressBoard
from bacalhau_jupyter.compute.execution.publishing import publish
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Fault, Phase
from bacalhau_jupyter.compute.execution.removing import remove_directory
from bacalhau_jupyter.compute.execution.telling import ExecutionTeller
from bacalhau_jupyter.compute.files import as_bacalhau_error, read_output, write_results
from bacalhau_jupyter.compute.host.environment import task_environment
from bacalhau_jupyter.compute.inputs.fetching import Fetcher
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.lib.telemetry.trace import CURRENT
from bacalhau_jupyter.models.errors import CAPACITY, BacalhauError, EngineError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.plugins.contract import OutputMount
from bacalhau_jupyter.plugins.engine import FilelessEngine, Outcome, RunRequest, ShowingEngine
from bacalhau_jupyter.plugins.publisher import PublishRequest

_log = logging.getLogger(__name__)

_TOPICS = {
    Act.EVALUATE: Topic.EXECUTION_SCANNING,
    Act.FETCH: Topic.INPUTS,
    Act.START: Topic.ENVIRONMENT,
    Act.WAIT: Topic.RUNNING,
    Act.PUBLISH: Topic.PUBLISHING,
}
_DOING = {
    Act.EVALUATE: "evaluating the bid",
    Act.FETCH: "fetching inputs",
    Act.START: "starting the task",
    Act.WAIT: "running the task",
    Act.PUBLISH: "publishing results",
}


class Runner:
    """Does what the state machine instructs.

    Parameters
    ----------
    equipment
        What the node's parts share.
    bidder
        Looks at offers.
    board
        Shows how far each phase is.
    """

    def __init__(self, equipment: Equipment, bidder: Bidder, board: ProgressBoard) -> None:
        self._reserve = equipment.reserve
        self._survey = equipment.survey
        self._settings = equipment.settings
        self._plugins = equipment.plugins
        self._places = equipment.places
        self._bidder = bidder
        self._board = board
        self._clock = equipment.clock
        self._host_env = equipment.host_env
        self.engines = EngineCalls(equipment.plugins, equipment.settings, equipment.clock)
        self.teller = ExecutionTeller(equipment.telemetry, equipment.clock, equipment.settings.node_id)
        self._fetcher = Fetcher(equipment.places, equipment.plugins, board, equipment.cache, self.teller)

    async def run(self, act: Act, record: ExecutionRecord) -> Event:
        """Run an activity to its end, on a task of its own; whatever goes wrong becomes a `Faulted` event."""
        if not self.teller.is_on:
            return await self._run(act, record)
        CURRENT.set(self.teller.link(record.execution))
        started_ns = self._clock.now_ns()
        event: Event = self.interrupted(act)
        try:
            event = await self._run(act, record)
        finally:
            self.teller.acted(act, record, started_ns, event)
        return event

    async def _run(self, act: Act, record: ExecutionRecord) -> Event:
        try:
            match act:
                case Act.EVALUATE:
                    with self._board.preliminary(record.id) as progress:
                        return await self._bidder.evaluate(record.execution, progress)
                case Act.FETCH:
                    return await self._fetcher.fetch(record, _job(record).task.input_sources)
                case Act.START:
                    return await self._start(record)
                case Act.WAIT:
                    return await self._wait(record)
                case _:
                    return await self._publish(record)
        except Exception as error:
            failure = as_bacalhau_error(error, _DOING[act])
            if failure is not error:
                _log.warning("execution %s: %s", record.id, failure, exc_info=error)
            if failure.details.get(CAPACITY):
                self._survey.look_again()
            if act is Act.WAIT:
                await self.engines.halt(record)
            if is_full(error):
                await self._give_way(record, act is Act.START)
            elif act is Act.FETCH:
                # At once: where the disk is full, nothing can be stored before there is room again.
                await asyncio.to_thread(self._places.remove_inputs, record.id)
            return Faulted(Fault.of(failure, _TOPICS[act]))

    def interrupted(self, act: Act) -> Faulted:
        """Return the event of an activity that was interrupted."""
        return Faulted(Fault(message=f"{_DOING[act]} was interrupted", topic=_TOPICS[act]))

    def unrecordable(self, error: Exception) -> Faulted:
        """Return the event that takes the place of one that could not be recorded."""
        words = f"the node could not record the progress of the execution: {type(error).__name__}"
        return Faulted(Fault.of(BacalhauError(words, fails_execution=True), Topic.EXECUTION))

    async def attached(self, record: ExecutionRecord) -> bool:
        """After a restart: whether the engine still has the task."""
        # Its environment was resolved when it was started; the host's may have changed since.
        return await self.engines.attached(record, self._request(record, {}))

    async def make_room(self, record: ExecutionRecord, event: Event) -> Event:
        """On a full disk: remove what the execution has there, and return what that makes of its event.

        Nothing can be stored any more, not even that the disk is full, until an execution gives way; it is the
        execution that was at work.
        """
        acts = {
            Fetched: Act.FETCH,
            Started: Act.START,
            Ended: Act.WAIT,
            Published: Act.PUBLISH,
            Unpublished: Act.PUBLISH,
        }
        act = acts.get(type(event))
        if act is None and not (isinstance(event, Faulted) and record.phase.is_busy):
            return event
        # A task that was started runs already, and may be what fills the disk.
        await self._give_way(record, act is Act.START)
        if act is None or act is Act.PUBLISH:
            return event
        full = as_bacalhau_error(OSError(errno.ENOSPC, "full"), _DOING[act])
        return Faulted(Fault.of(full, _TOPICS[act]))

    async def _give_way(self, record: ExecutionRecord, started: bool = False) -> None:
        """Remove what an execution has on a full disk: none of it can be kept, and others need the room."""
        await asyncio.to_thread(self._reserve.give_back)
        if started:
            await self.engines.halt(record)
        await asyncio.to_thread(self._places.remove, record.id)
        # What a task printed may be what fills the disk.
        await asyncio.to_thread(self._cut_log, record.id)

    def _cut_log(self, execution_id: str) -> None:
        with contextlib.suppress(OSError):
            self._places.cut_log(execution_id)

    async def clean(self, record: ExecutionRecord) -> bool:
        """Remove what is left of an ended execution; True when its directory is gone, too."""
        if record.accepted_ns:
            await self.engines.clean(record)
        if await self._reserve.found_lacking():
            # Nothing of what failed can be kept to be looked at.
            await self._give_way(record)
            return not self._places.directory(record.id).exists()
        delivered = record.phase is Phase.COMPLETED and record.published is not None
        # Files of a failed execution can be read for a while; those of a cancelled one are not needed again.
        if delivered or record.phase is Phase.CANCELLED or not record.accepted_ns:
            job = record.execution.job
            engine = None if job is None else self._plugins.engine(job.task.engine.type)
            return not await remove_directory(
                self._places, record.id, record.execution, engine, self._settings.cancel_timeout_s
            )
        if _job(record).task.input_sources:
            await asyncio.to_thread(self._places.remove_inputs, record.id)
        return False

    async def _start(self, record: ExecutionRecord) -> Started:
        task = _job(record).task
        names = [item.name for item in task.result_paths]
        if (
            names
            or not task.publisher.is_empty
            or not isinstance(self.engines.engine(record), FilelessEngine)
        ):
            await asyncio.to_thread(self._places.ready_to_run, record.id, names)
        self._board.phase(record.id, "starting")
        env = task_environment(
            record.execution,
            self._settings.env_allow_list,
            self._host_env,
            record.ports,
            trace=self.teller.header(record.execution),
        )
        request = self._request(record, env)
        return Started(await self.engines.engine(record).start(request, self._board.reporter(record.id)))

    async def _wait(self, record: ExecutionRecord) -> Ended:
        self._board.phase(record.id, "running")
        self.teller.active(record, 1)
        try:
            outcome = await self.engines.engine(record).wait(record.id)
        finally:
            self.teller.active(record, -1)
        ended = Ended(outcome, await self._output(record, outcome))
        if outcome.error is not None and await self._reserve.found_lacking():
            # Before the report: the next execution needs the space.
            await self._give_way(record)
        return ended

    async def _output(self, record: ExecutionRecord, outcome: Outcome) -> RunCommandResult:
        error = "" if outcome.error is None else outcome.error.message
        if outcome.silent:
            return RunCommandResult(exit_code=outcome.exit_code, error_msg=error)
        log = self._places.log(record.id)
        return await asyncio.to_thread(read_output, log, outcome.exit_code, error)

    async def _publish(self, record: ExecutionRecord) -> Published | Unpublished:
        self._board.phase(record.id, "publishing")
        directory = self._places.results(record.id)
        exit_code = record.output.exit_code if record.output else 0
        engine = self._plugins.engine(_job(record).task.engine.type)
        await asyncio.to_thread(write_results, self._places.log(record.id), directory, exit_code)
        request = PublishRequest(
            record.execution,
            directory,
            self._board.reporter(record.id, "publishing"),
            inputs=[item.mount() for item in record.inputs],
            prefixes=_prefixes(engine, record.id),
        )
        done = await publish(
            self._plugins.publisher,
            _job(record).task.publisher.type,
            request,
            self._settings.publish_delays_s,
        )
        lost = isinstance(done, Unpublished) and done.kept is None
        if lost and await self._reserve.found_lacking():
            await self._give_way(record)
        return done

    def _request(self, record: ExecutionRecord, env: Mapping[str, str]) -> RunRequest:
        task = _job(record).task
        results = self._places.results(record.id)
        return RunRequest(
            execution=record.execution,
            node_id=self._settings.node_id,
            env=env,
            # The reservation for inputs does not limit what the job may write.
            resources=msgspec.structs.replace(record.held, disk=resources_of(task.resources).disk),
            inputs=[item.mount() for item in record.inputs],
            outputs=[OutputMount(item.name, results / item.name, item.path) for item in task.result_paths],
            ports=record.ports,
            directory=self._places.engine(record.id),
            log_path=self._places.log(record.id),
            timeout_s=record.remaining_s(self._clock.now_ns()),
            grace_s=self._settings.grace_s,
            log_limit=self._settings.log_limit,
        )


def _job(record: ExecutionRecord) -> Job:
    if record.execution.job is None:
        raise EngineError(f"execution {record.id} has no job")
    return record.execution.job


def _prefixes(engine: object, execution_id: str) -> Sequence[str]:
    return engine.prefixes(execution_id) if isinstance(engine, ShowingEngine) else ()

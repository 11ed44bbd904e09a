"""Whether this node would run an execution: every rule is checked, every objection is reported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from bacalhau_jupyter.compute.execution.events import BidMade, BidRefused
from bacalhau_jupyter.compute.host import environment
from bacalhau_jupyter.compute.host.capacity import Capacity, most_per_job, shortfall, with_defaults
from bacalhau_jupyter.compute.host.ports import PortTaken
from bacalhau_jupyter.compute.host.probes import ask_probes
from bacalhau_jupyter.compute.linked import link_of
from bacalhau_jupyter.compute.plugins import Plugins, first_reasons, usable_gpus
from bacalhau_jupyter.compute.settings import THIS_NODE, AdmissionSettings, ComputeSettings, Locality
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NetworkFailure
from bacalhau_jupyter.models.jobs.goduration import format_go_duration
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import InputSource, NetworkType, Task, Timeouts
from bacalhau_jupyter.models.jobs.units import format_resources, resources_of
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Engine, TellingEngine
from bacalhau_jupyter.plugins.publisher import Publisher
from bacalhau_jupyter.plugins.source import LocatingSource, Source

T = TypeVar("T")

_LOCAL_TYPES = ("inline", "localdirectory", "local")
_NETWORKED = (NetworkType.HOST, NetworkType.HTTP, NetworkType.BRIDGE)
_RESULT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*")
_OWN_RESULTS = ("stdout", "stderr", "exitcode")
_NAME_BYTES = 255  # what a directory entry may have on every file system


class Bidder:
    """Answers offers.

    Parameters
    ----------
    settings
        What the node takes.
    plugins
        Probed engines, sources and publishers.
    capacity
        Where an accepted bid reserves.
    full
        Says why nothing more can be run on this disk; empty while something can.
    unavailable
        Says why nothing new is taken at present; empty while something is.
    look_again
        Called where there is no room: what others hold of the machine may be free again.
    """

    def __init__(
        self,
        settings: ComputeSettings,
        plugins: Plugins,
        capacity: Capacity,
        full: Callable[[], Awaitable[str]] | None = None,
        unavailable: Callable[[], str] = lambda: "",
        look_again: Callable[[], None] = lambda: None,
    ) -> None:
        self._look_again = look_again
        self._full = full
        self._unavailable = unavailable
        self._settings = settings
        self._plugins = plugins
        self._capacity = capacity
        # A wrong setting is told at once.
        most_per_job(settings.admission.max_resources, capacity.limit)

    async def evaluate(self, execution: Execution, progress: Progress = no_progress) -> BidMade | BidRefused:
        """Decide; capacity is held from here on when the answer is `BidMade`. What takes long is reported.

        Raises
        ------
        BacalhauError
            An engine or source can't say (image not found, daemon gone): the execution fails.
        """
        job = execution.job
        if job is None or not job.tasks:
            raise BadRequest(f"execution {execution.id} has no job or task", component="Bidder")
        if reason := self._unavailable() or self._away(job.task):
            return self._refused(reason, busy=True)
        try:
            return await self._decide(execution, job, progress)
        except _AwayError as error:
            return self._refused(str(error), busy=True)

    def _refused(self, *reasons: str, busy: bool = False) -> BidRefused:
        """Refuse; a reason that begins with "this node" names the node as people do."""
        who = self._settings.called
        named = [re.sub(rf"^{THIS_NODE}\b", lambda match: who, reason) for reason in reasons]
        return BidRefused("rejected bid: " + "; ".join(named), busy=busy)

    def _away(self, task: Task) -> str:
        """Say why an engine elsewhere can't be asked now; it may be there again in a moment."""
        engine = self._plugins.engine(task.engine.type)
        availability = self._plugins.availability(engine)
        return "" if availability.available or link_of(engine) is None else availability.problem

    async def _decide(self, execution: Execution, job: Job, progress: Progress) -> BidMade | BidRefused:
        await self._plugins.answered(self._needed(job.task))
        reasons = self._semantic(job)
        if not reasons and self._full is not None and (reason := await self._full()):
            reasons = [reason]
        if not reasons and self._settings.admission.locality is Locality.LOCAL:
            reasons = await self._remote(execution, job.task)
        bids = [] if reasons else await self._plugin_bids(execution, job.task, progress)
        refusals = [bid for bid in bids if not bid.accepted]
        reasons += [bid.reason or "this node does not accept the job" for bid in refusals]
        if not reasons:
            reasons = await ask_probes(self._settings.admission, job)
        if reasons:
            return self._refused(*reasons, busy=bool(refusals) and all(bid.busy for bid in refusals))
        made = await self._reserve(execution, job.task)
        notes = tuple(bid.note for bid in bids if bid.note)
        return replace(made, notes=notes) if isinstance(made, BidMade) and notes else made

    def _needed(self, task: Task) -> list[Engine | Source | Publisher | None]:
        """Return the plug-ins that a task needs; None for what this node does not have."""
        sources = [self._plugins.source(item.source.type) for item in task.input_sources]
        publisher = None if task.publisher.is_empty else self._plugins.publisher(task.publisher.type)
        return [self._plugins.engine(task.engine.type), *sources, publisher]

    def _semantic(self, job: Job) -> list[str]:
        """Rules that only read the job and what this node has."""
        task, admission = job.task, self._settings.admission
        reasons = self._support(task)
        if admission.reject_networked_jobs and task.network.type in _NETWORKED:
            reasons.append("this node does not run jobs that require network access")
        if admission.reject_stateless_jobs and not task.input_sources:
            reasons.append("this node does not accept jobs without any input volumes")
        reasons += time_objections(task.timeouts, admission)
        reasons += environment.objections(task.env, self._settings.env_allow_list)
        reasons += [
            f"this node does not take {item.name[:80]!r} as the name of a result path"
            for item in task.result_paths
            if not _RESULT_NAME.fullmatch(item.name)
            or item.name.lower() in _OWN_RESULTS
            or len(item.name.encode()) > _NAME_BYTES
        ]
        return reasons

    def _support(self, task: Task) -> list[str]:
        engines, sources, publishers = self._plugins.names()
        objections = [
            self._plugins.objection(self._plugins.engine(task.engine.type), task.engine.type, engines)
        ]
        objections += [
            self._plugins.objection(self._plugins.source(kind), kind, sources)
            for kind in dict.fromkeys(item.source.type for item in task.input_sources)
        ]
        if not task.publisher.is_empty:
            kind = task.publisher.type
            objections.append(self._plugins.objection(self._plugins.publisher(kind), kind, publishers))
        return [reason for reason in objections if reason]

    async def _remote(self, execution: Execution, task: Task) -> list[str]:
        """Objections to inputs that do not lie here."""
        reasons: list[str] = []
        remote: list[str] = []
        for item in task.input_sources:
            source = self._plugins.source(item.source.type)
            local = item.source.is_type(*_LOCAL_TYPES)
            if not local and isinstance(source, LocatingSource):
                try:
                    local = await source.is_local(execution, item)
                except BacalhauError as error:
                    reasons.append(f"this node can't tell whether an input is local: {error}")
                    continue
            if not local:
                remote.append(item.source.type)
        if remote:
            words = (
                f"this node does not have all input data locally ({len(remote)} inputs require downloading)"
            )
            reasons.append(f"{words}: {', '.join(dict.fromkeys(remote))}")
        return reasons

    async def _plugin_bids(self, execution: Execution, task: Task, progress: Progress) -> list[Bid]:
        asks: list[Awaitable[Bid]] = []
        engine = self._plugins.engine(task.engine.type)
        if engine is not None:
            if isinstance(engine, TellingEngine):
                bid = engine.bid_telling(execution, progress)
            else:
                bid = engine.bid(execution)
            asks.append(_unless_away(engine, bid))
        for item in task.input_sources:
            source = self._plugins.source(item.source.type)
            if source is not None:
                asks.append(source.bid(execution, item))
        publisher = None if task.publisher.is_empty else self._plugins.publisher(task.publisher.type)
        if publisher is not None:
            asks.append(publisher.bid(execution, task.publisher))
        return await asyncio.gather(*asks)

    async def _reserve(self, execution: Execution, task: Task) -> BidMade | BidRefused:
        sizes = await asyncio.gather(*(self._size(execution, item) for item in task.input_sources))
        requested = with_defaults(resources_of(task.resources), sum(sizes))
        limit = self._capacity.limit
        if not requested.fits(limit):
            return self._refused(
                f"insufficient resources - requested: {format_resources(requested)}, "
                f"available: {format_resources(limit)}"
            )
        most = most_per_job(self._settings.admission.max_resources, limit)
        if excess := shortfall(requested, most):
            return self._refused(f"this node gives less to one job: {excess}")
        usable: list[GPU] | None = None
        if requested.gpu:
            engine = self._plugins.engine(task.engine.type)
            candidates, problems = await _unless_away(engine, usable_gpus(engine, limit.gpus))
            usable = candidates
            if requested.gpu > len(candidates):
                return self._refused(
                    f"this node can give {task.engine.type} jobs {len(candidates)} of its {limit.gpu} "
                    f"GPUs: {first_reasons(problems)}"
                )
        held = await self._capacity.reserve_soon(execution.id, requested, usable)
        if held is None:
            self._look_again()
            lacking = shortfall(requested, self._capacity.available) or "GPUs"
            return self._refused(f"this node is busy: not enough {lacking} free", busy=True)
        try:
            ports = self._capacity.ports.reserve(execution.id, task.network)
        except PortTaken as reason:
            self._capacity.release(execution.id)
            return self._refused(str(reason), busy=reason.waiting_helps)
        return BidMade(held, tuple(ports))

    async def _size(self, execution: Execution, item: InputSource) -> int:
        source = self._plugins.source(item.source.type)
        return 0 if source is None else await source.size(execution, item)


class _AwayError(Exception):
    """The machine of an engine has stopped answering while it was asked."""


async def _unless_away(engine: Engine | None, answer: Awaitable[T]) -> T:
    try:
        return await answer
    except NetworkFailure as error:
        if link_of(engine) is None:
            raise
        raise _AwayError(error.message) from error


def time_objections(timeouts: Timeouts, admission: AdmissionSettings) -> list[str]:
    """Return why a node does not take a job with such time limits."""
    limits = [seconds for seconds in (timeouts.execution_timeout, timeouts.total_timeout) if seconds > 0]
    limit_s = min(limits, default=0)
    if admission.max_timeout_s and not limit_s:
        return [
            f"this node takes jobs with a time limit of at most {format_go_duration(admission.max_timeout_s)}, "
            "and this one has none"
        ]
    if admission.max_timeout_s and limit_s > admission.max_timeout_s:
        return [
            f"this node takes jobs of at most {format_go_duration(admission.max_timeout_s)}, "
            f"and this one may take {format_go_duration(limit_s)}"
        ]
    if limit_s and limit_s < admission.min_timeout_s:
        return [
            f"this node takes jobs of at least {format_go_duration(admission.min_timeout_s)}, "
            f"and this one ends after {format_go_duration(limit_s)}"
        ]
    return []

"""One engine over two runtimes: who takes a new job, and who has an old one.

A job stays with the runtime that started it, also when the node is started again: the one without a daemon keeps a
directory of each of its executions, and there is a note of each that a Docker Engine was given. New jobs go to a Docker
Engine as soon as one answers. While Docker may have a container of a job's execution, and does not answer, the same
work is not run again here without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bacalhau_jupyter.engines.containers.handed_over import HandedOver
from bacalhau_jupyter.engines.containers.runtimes import BUBBLEWRAP, DOCKER, KEY, chosen_runtimes
from bacalhau_jupyter.engines.containers.sweeping import Sweeper
from bacalhau_jupyter.engines.daemonless.engine import DaemonlessEngine, Store
from bacalhau_jupyter.engines.docker.engine import DockerEngine
from bacalhau_jupyter.engines.images.recent import Recent
from bacalhau_jupyter.engines.images.store import Images, from_options
from bacalhau_jupyter.engines.images.unpacking.orders import Owner
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.models.errors import ConfigurationError, NetworkFailure
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach

NOTES, GIVEN_UP = "docker-executions", "docker-remains"
"""Where, in the node's directory, it is noted what a Docker Engine was given, and may still have after its end."""
_REMEMBERED = 10_000
"""Bids whose runtime is known until the job starts."""


class Containers:
    """Runs tasks of type ``docker`` on whichever runtime this node has.

    Parameters
    ----------
    options
        The node's identity, directory and settings.
    env, home
        Where the Docker Engine's address and credentials are looked for.
    store
        Keeps the images that run without a Docker Engine; None: that of the settings.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.

    Attributes
    ----------
    images
        The node's own store; it is open where images run without a Docker Engine.
    """

    type = "docker"

    def __init__(
        self,
        options: PluginOptions,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        *,
        store: Store | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._options = options
        self.docker = DockerEngine(options, env, home, reach=reach)
        self.images: Images | None = _own_store(options) if store is None else None
        kept = store or self.images
        assert kept is not None
        self.daemonless = DaemonlessEngine(options, kept, reach=reach)
        self._handed_over = HandedOver(options.data_dir / NOTES, options.data_dir / GIVEN_UP)
        self._sweeper = Sweeper(self._handed_over, self._remove)
        self._chosen: Recent[str, str] = Recent(_REMEMBERED)
        self._docker_answers = False
        self._without: Availability | None = None
        self._trying = asyncio.Lock()

    # --- what works here ------------------------------------------------------------------------------------------

    async def probe(self) -> Availability:
        """Look for a Docker Engine, and where none answers for what can run images without one."""
        try:
            runtimes = chosen_runtimes(self._options.settings(KEY))
        except ConfigurationError as error:
            return Availability(False, problem=f"{error.message} ({error.hint})")
        problems, may_change = [], False
        if DOCKER in runtimes:
            answer = await self._probe_docker()
            self._docker_answers = answer.available
            self._sweeper.wake()
            if answer.available:
                return answer
            problems.append(answer.problem)
            may_change = answer.may_change
        if BUBBLEWRAP in runtimes:
            without = await self._probe_without()
            if without.available:
                # A Docker Engine that is started later is used for new jobs, and node info says so.
                return Availability(True, runtime=without.runtime, may_change=may_change)
            problems.append(without.problem)
        return Availability(False, problem="; without one: ".join(problems), may_change=may_change)

    async def _probe_docker(self) -> Availability:
        try:
            return await self.docker.probe()
        except ImportError as error:
            package = (error.name or "docker").partition(".")[0]
            return Availability(
                False, problem=f'Docker needs the package {package}: pip install "bacalhau-jupyter[docker]"'
            )

    async def _probe_without(self) -> Availability:
        async with self._trying:
            if self._without is None:
                self._without = await self.daemonless.probe()
            return self._without

    @property
    def parts(self) -> Sequence[Engine]:
        """The runtimes that the settings allow."""
        engines: dict[str, Engine] = {DOCKER: self.docker, BUBBLEWRAP: self.daemonless}
        try:
            return [engines[name] for name in chosen_runtimes(self._options.settings(KEY))]
        except ConfigurationError:
            return []

    async def bid(self, execution: Execution) -> Bid:
        return await self.bid_telling(execution, no_progress)

    async def bid_telling(self, execution: Execution, progress: Progress) -> Bid:
        """Ask the Docker Engine; where none answers, whether the job can run without one."""
        if self._docker_answers:
            try:
                await self._remove_earlier(execution)
                return self._choose(execution, DOCKER, await self.docker.bid_telling(execution, progress))
            except NetworkFailure as error:
                if BUBBLEWRAP not in chosen_runtimes(self._options.settings(KEY)):
                    raise
                without = await self._probe_without()
                if not without.available:
                    raise
                bid = await self._bid_without(execution)
                if bid.accepted or bid.busy:
                    return bid
                return replace(bid, reason=f"{bid.reason} ({error.message})")
        return await self._bid_without(execution)

    async def _bid_without(self, execution: Execution) -> Bid:
        if reason := await self._may_run_in_docker(execution):
            return Bid(False, reason, busy=True)
        return self._choose(execution, BUBBLEWRAP, await self.daemonless.bid(execution))

    def _choose(self, execution: Execution, runtime: str, bid: Bid) -> Bid:
        if bid.accepted:
            self._chosen.keep(execution.id, runtime)
        return bid

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a job can't get this GPU; empty when it can."""
        if self._docker_answers:
            return await self.docker.gpu_problem(gpu)
        return await self.daemonless.gpu_problem(gpu)

    # --- jobs -----------------------------------------------------------------------------------------------------

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Start the execution, or find it started already; return the runtime's name.

        Raises
        ------
        NetworkFailure
            A Docker Engine was given the execution, and does not answer: elsewhere it could run twice.
        BacalhauError
            It could not be started.
        """
        identifier = request.execution.id
        # Not bid for since the node was started: as if it was bid for now.
        runtime = await self._runtime(identifier) or (DOCKER if self._docker_answers else BUBBLEWRAP)
        if runtime == BUBBLEWRAP:
            if reason := await self._may_run_in_docker(request.execution):
                raise _no_answer(reason)
            return await self.daemonless.start(request, progress)
        # Given up before anybody hears of it: the same work is offered again at once.
        async with self._given_up_if_away(identifier):
            self._check_docker(identifier)
            await self._remove_earlier(request.execution)
            await asyncio.to_thread(self._handed_over.note, request.execution)
            return await self.docker.start(request, progress)

    async def attach(self, request: RunRequest) -> bool:
        if await self._is_without(request.execution.id):
            return await self.daemonless.attach(request)
        if DOCKER not in chosen_runtimes(self._options.settings(KEY)):
            return False
        # Where it does not answer (yet) it is asked again.
        return await self.docker.attach(request)

    async def wait(self, execution_id: str) -> Outcome:
        if await self._is_without(execution_id):
            return await self.daemonless.wait(execution_id)
        outcome = await self.docker.wait(execution_id)
        if isinstance(outcome.error, NetworkFailure):
            await self._give_up(execution_id)
        return outcome

    async def cancel(self, execution_id: str) -> None:
        """Stop the task.

        Raises
        ------
        NetworkFailure
            A Docker Engine has it, and does not answer: what is over is listed by `existing` when it does.
        """
        async with self._given_up_if_away(execution_id):
            if await self._is_in_docker(execution_id):
                await self.docker.cancel(execution_id)
                return
        await self.daemonless.cancel(execution_id)

    async def clean(self, execution_id: str) -> None:
        """Remove what is kept of an ended execution; raises as `cancel`."""
        async with self._given_up_if_away(execution_id):
            is_in_docker = await self._is_in_docker(execution_id)
            if is_in_docker:
                await self.docker.clean(execution_id)
                await asyncio.to_thread(self._handed_over.forget, execution_id)
        if not is_in_docker:
            await self.daemonless.clean(execution_id)
        self._chosen.forget(execution_id)

    async def existing(self) -> list[str]:
        executions = await self.daemonless.existing()
        if self._docker_answers:
            executions += await self.docker.existing()
            executions += await asyncio.to_thread(self._handed_over.all)
        return list(dict.fromkeys(executions))

    async def ended_ns(self, execution: Execution) -> int:
        """Return when the task ended, in Unix nanoseconds of this machine's clock; 0: it runs, or is not known."""
        return 0 if await self._is_without(execution.id) else await self.docker.ended_ns(execution)

    async def reclaim(self, execution: Execution, directory: Path) -> None:
        # What jobs without a Docker Engine leave is the node's own.
        if self._docker_answers and not await self._is_without(execution.id):
            await self.docker.reclaim(execution, directory)

    async def close(self) -> None:
        await self._sweeper.close()
        await asyncio.gather(self.docker.close(), self.daemonless.close())

    async def _runtime(self, execution_id: str) -> str:
        """Return the runtime that has an execution, or is going to have it; empty: nothing decides that."""
        if self._chosen.get(execution_id) == BUBBLEWRAP:
            return BUBBLEWRAP
        return await asyncio.to_thread(self._noted, execution_id) or self._chosen.get(execution_id) or ""

    def _noted(self, execution_id: str) -> str:
        if self.daemonless.knows(execution_id):
            return BUBBLEWRAP
        return DOCKER if self._handed_over.has(execution_id) else ""

    async def _is_without(self, execution_id: str) -> bool:
        return await self._runtime(execution_id) == BUBBLEWRAP

    async def _is_in_docker(self, execution_id: str) -> bool:
        """Whether something of an execution is to be asked of the Docker Engine, which may have what nobody noted."""
        runtime = await self._runtime(execution_id)
        if runtime == DOCKER:
            self._check_docker(execution_id)
        return runtime == DOCKER or (not runtime and self._docker_answers)

    def _check_docker(self, execution_id: str) -> None:
        if not self._docker_answers:
            raise _no_answer(f"a Docker Engine has execution {execution_id}, and none answers")

    # --- executions that ended while Docker did not answer ----------------------------------------------------------

    async def _may_run_in_docker(self, execution: Execution) -> str:
        """Say why a job can't be run without Docker now; empty where it can."""
        earlier = await asyncio.to_thread(self._handed_over.of_same_work, execution)
        if not earlier:
            return ""
        return (
            f"this node gave execution {earlier[0]} of the job to a Docker Engine that does not answer: its "
            "container may still run"
        )

    async def _remove_earlier(self, execution: Execution) -> None:
        """Remove what Docker has of earlier executions of the same work, which are over for this node."""
        for each in await asyncio.to_thread(self._handed_over.of_same_work, execution, given_up=True):
            await self._remove(each)

    async def _remove(self, execution_id: str) -> None:
        await self.docker.cancel(execution_id)
        await self.docker.clean(execution_id)
        await asyncio.to_thread(self._handed_over.forget, execution_id)

    async def _give_up(self, execution_id: str) -> None:
        await asyncio.to_thread(self._handed_over.give_up, execution_id)
        self._sweeper.wake()

    @contextlib.asynccontextmanager
    async def _given_up_if_away(self, execution_id: str) -> AsyncIterator[None]:
        try:
            yield
        except NetworkFailure:
            await self._give_up(execution_id)
            raise


def _no_answer(sentence: str) -> NetworkFailure:
    return NetworkFailure(
        sentence,
        hint="Start Docker again: what it has of this execution is then removed.",
        retryable=True,
        fails_execution=True,
    )


def _own_store(options: PluginOptions) -> Images:
    # A node of root shows an image's users as the job's own, so they have to be what the image says.
    return from_options(options, owner=Owner(shift=0) if host.is_root() else Owner())

"""The engine without a daemon: holds images, starts supervisors, finds them again after a restart."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import uuid
from pathlib import Path
from typing import Literal, Protocol

from bacalhau_jupyter.engines.daemonless import COMPONENT, bids, rights, trial
from bacalhau_jupyter.engines.daemonless.devices.given import KEY, Machine, given, machine_of
from bacalhau_jupyter.engines.daemonless.sandbox import Launch, confine_image, limits_processes
from bacalhau_jupyter.engines.daemonless.tree import TooManyLooks
from bacalhau_jupyter.engines.images.contract import HeldImage, ImageStore
from bacalhau_jupyter.engines.images.pulling.manifests import NO_PLATFORM
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.bubblewrap import binary
from bacalhau_jupyter.engines.supervised.confinement import seccomp
from bacalhau_jupyter.engines.supervised.executions import Executions
from bacalhau_jupyter.engines.supervised.gpus import NoAccess
from bacalhau_jupyter.engines.supervised.launch import assemble
from bacalhau_jupyter.engines.supervised.mounts import NotPlaced
from bacalhau_jupyter.engines.supervised.state import About, State
from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.programs import machine_code
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.inputs import check_inputs
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach

DIRECTORY = "daemonless"
_NEEDED = ("--json-status-fd", "--as-pid-1", "--block-fd")


class Store(ImageStore, Protocol):
    """A store that is opened when it is needed, and once."""

    async def open(self) -> None:
        """Read what is kept; once it is open, nothing.

        Raises
        ------
        BacalhauError
            It can't be opened.
        """
        ...

    async def close(self) -> None:
        """Let it go."""
        ...


class DaemonlessEngine:
    """Runs tasks of type ``docker`` on unpacked images, confined by bubblewrap.

    Parameters
    ----------
    options
        The node's; state is kept in ``data_dir/daemonless``.
    store
        Keeps the images; opened when it is needed first, and closed with the engine. For a node of root its trees have
        the owners that the image says.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.
    program
        bubblewrap; None finds it.
    machine
        Where GPUs are found; None means this host, with the directories of the settings.
    """

    type = "docker"
    needs_no_service: Literal[True] = True

    def __init__(
        self,
        options: PluginOptions,
        store: Store,
        *,
        reach: Reach | None = None,
        program: str | None = None,
        machine: Machine | None = None,
    ) -> None:
        self._options = options
        self._store = store
        self._root = options.data_dir / DIRECTORY
        self._executions = Executions(options, self._root, reach)
        self._program = program
        self._machine = machine or machine_of(options.settings(KEY))
        self._works = False

    # --- what works here ------------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What runs jobs: every execution says so, and the node's description adds what limits them."""
        return f"bubblewrap {binary.version(self._program)}".strip() + " without Docker Engine"

    async def probe(self) -> Availability:
        """Find out whether an unpacked image can be run here, by running one."""
        if not sys.platform.startswith("linux"):
            return Availability(False, problem="images without a Docker Engine need Linux")
        try:
            await asyncio.to_thread(self._executions.prepare_root)
            problem = await asyncio.to_thread(self._obvious_problem) or await self._try()
            if not problem:
                await self._store.open()
        except BacalhauError as error:
            return Availability(False, problem=f"its images can't be used: {error.message}")
        except OSError as error:
            return Availability(False, problem=f"the engine's directory can't be used: {error}")
        self._works = not problem
        if problem:
            return Availability(False, problem=problem)
        return Availability(True, runtime=f"{self.label}, {self._limited()}")

    def _limited(self) -> str:
        return self._executions.limited(own_users=limits_processes())

    def _obvious_problem(self) -> str:
        self._program = self._program or binary.find()
        if not self._program:
            return "bubblewrap is not installed"
        if not seccomp.supported() or not machine_code.is_supported():
            return "no system call table for this machine's processor"
        options = binary.said(self._program, "--help")
        if missing := next((each for each in _NEEDED if each not in options), ""):
            return f"bubblewrap {binary.version(self._program)} is too old: it lacks {missing}"
        if host.is_root() and not host.readable_by_others(Path(self._program), parents=True):
            return (
                f"{self._program} is closed to the users that jobs of a node of root run as: open it, and the "
                "directories above it, to others"
            )
        return ""

    async def _try(self) -> str:
        """Say why an image can't be run here, or ""."""
        place = self._root / f".probe-{uuid.uuid4().hex[:8]}"
        options = dataclasses.replace(self._options, data_dir=place)
        candidate = DaemonlessEngine(options, trial.Store(place / "tree"), program=self._program)
        candidate._works = True
        try:
            await asyncio.to_thread(candidate._executions.prepare_root)
            problem = await trial.problem(candidate, place, self._options.node_id)
            if not problem:
                return ""
            facts = await asyncio.to_thread(rights.facts, place)
            return rights.missing(problem, facts) or problem
        finally:
            await candidate.close()
            await asyncio.to_thread(remove_tree, place)

    async def bid(self, execution: Execution) -> Bid:
        if not self._works:
            return Bid(False, "this node can't run images")
        try:
            params = bids.check(execution)
            await self._store.find(params.image)
        except bids.Refused as reason:
            return Bid(False, f"this node {reason}")
        except BacalhauError as error:
            if error.code == NO_PLATFORM:
                return Bid(False, error.message)
            raise
        return Bid(accepted=True, note=f"it runs without a Docker Engine: {self._limited()}")

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a job can't get this GPU; empty when it can."""
        user = host.FIRST_JOB_UID if host.is_root() else -1
        try:
            await asyncio.to_thread(given, [gpu], user, self._machine)
        except NoAccess as reason:
            return str(reason)
        return ""

    # --- start and attach -----------------------------------------------------------------------------------------

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Start the execution, or find it started already; return the runtime's name.

        Raises
        ------
        EngineError
            The task can't run here, or the supervisor could not be started.
        IOFailure
            The disk is full or a directory can't be used.
        BacalhauError
            The image can't be had.
        """
        if not self._works:
            raise EngineError("this node can't run images", component=COMPONENT, fails_execution=True)
        try:
            params = bids.check(request.execution)
        except bids.Refused as reason:
            raise EngineError(f"this node {reason}", component=COMPONENT, fails_execution=True) from None
        identifier = request.execution.id
        image = await self._store.hold(params.image, identifier, progress)
        try:
            return await self._executions.start(
                request, lambda state, user: self._plan(state, user, request, image)
            )
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._store.release(identifier)
            raise

    def _plan(self, state: State, user: int, request: RunRequest, image: HeldImage) -> Plan:
        assert self._program is not None
        try:
            request = dataclasses.replace(
                request, inputs=check_inputs(request.inputs, COMPONENT, sockets=False)
            )
            state.note(About(self.label, user, str(request.log_path)))
            scratch = state.path / "scratch"
            scratch.mkdir(mode=0o700, exist_ok=True)
            launch = Launch(
                request=request,
                image=image,
                scratch=scratch,
                user=user,
                program=self._program,
                hardware=given(request.resources.gpus, user, self._machine),
            )
            confined = confine_image(launch)
        except NotPlaced as error:
            raise EngineError(
                f"inputs and results can't be laid out: {error}", component=COMPONENT, fails_execution=True
            ) from None
        except NoAccess as reason:
            raise EngineError(
                str(reason), component=COMPONENT, fails_execution=True, retryable=True
            ) from None
        except beneath.Changed as error:
            raise EngineError(
                f"the inputs are not mounted: {error}", component=COMPONENT, fails_execution=True
            ) from None
        except TooManyLooks as error:
            raise EngineError(
                f"looking into the image takes too long: {error}",
                component=COMPONENT,
                fails_execution=True,
                fails_job=True,
            ) from None
        is_host = launch.network is NetworkType.HOST
        return assemble(request, state, self._executions.node_file, confined, host_network=is_host)

    def knows(self, execution_id: str) -> bool:
        """Whether something is kept of an execution; looks at the disk."""
        return self._executions.state(execution_id).path.exists()

    async def attach(self, request: RunRequest) -> bool:
        return await self._executions.attach(request)

    async def wait(self, execution_id: str) -> Outcome:
        return await self._executions.wait(execution_id)

    async def cancel(self, execution_id: str) -> None:
        await self._executions.cancel(execution_id)

    async def clean(self, execution_id: str) -> None:
        await self._executions.clean(execution_id)
        await self._store.open()
        await self._store.release(execution_id)

    async def existing(self) -> list[str]:
        executions = await self._executions.existing()
        if executions or self._works:
            await self._store.open()
            executions += [holder for image in await self._store.images() for holder in image.holders]
        return list(dict.fromkeys(executions))

    async def close(self) -> None:
        await self._executions.close()
        await self._store.close()

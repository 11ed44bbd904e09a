"""The engine: bids, starts supervisors, finds them again after a restart, and reads how they ended."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bacalhau_jupyter.engines.process import bids
from bacalhau_jupyter.engines.process import tier_trial as trial
from bacalhau_jupyter.engines.process.environments import Environments
from bacalhau_jupyter.engines.process.launch import Launch, Tier
from bacalhau_jupyter.engines.process.params import ENGINE_TYPE, ProcessParams
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised import gpus, host
from bacalhau_jupyter.engines.supervised.executions import Executions
from bacalhau_jupyter.engines.supervised.launch import assemble
from bacalhau_jupyter.engines.supervised.mounts import NotPlaced
from bacalhau_jupyter.engines.supervised.state import About, State
from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import ConfigurationError, EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.inputs import check_inputs
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach


class ProcessEngine:
    """Runs programs of this host, confined by the best tier that works here.

    Parameters
    ----------
    options
        The node's; state is kept in ``data_dir/process``.
    tiers
        The tiers to try, best first; all when None.
    driver
        Where the drivers of GPUs show them; None means this host.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.
    platform
        Of this machine, as `sys.platform` names it.
    """

    type = ENGINE_TYPE
    needs_no_service: Literal[True] = True

    def __init__(
        self,
        options: PluginOptions,
        *,
        tiers: Sequence[Tier] | None = None,
        driver: gpus.Driver | None = None,
        reach: Reach | None = None,
        platform: str = sys.platform,
    ) -> None:
        self._options = options
        self._platform = platform
        self._driver = driver
        self._tiers = tiers
        self._tier: Tier | None = None
        self._root = options.data_dir / "process"
        self._executions = Executions(options, self._root, reach)
        self.environments = Environments(options)

    # --- what works here ------------------------------------------------------------------------------------------

    async def probe(self) -> Availability:
        """Find the best tier that really confines a program here."""
        if not self._platform.startswith("linux"):
            system = {"darwin": "macOS", "win32": "Windows"}.get(self._platform, self._platform)
            problem = f"process jobs need Linux, and this node runs on {system}: use an image (--image)"
            return Availability(False, problem=problem)
        problems = []
        try:
            await asyncio.to_thread(self._executions.prepare_root)
            tiers = (
                self._tiers if self._tiers is not None else await asyncio.to_thread(self._configured_tiers)
            )
        except OSError as error:
            return Availability(False, problem=f"the process engine's directory can't be used: {error}")
        except ConfigurationError as error:
            return Availability(False, problem=f"{error.message} ({error.hint})")
        for tier in tiers:
            problem = tier.problem() or await self._try(tier)
            if not problem:
                self._tier = tier
                return Availability(True, runtime=f"{tier.label}, {self._executions.limited()}")
            problems.append(f"{tier.label}: {problem}")
        return Availability(False, problem="no way to confine a process works here: " + "; ".join(problems))

    def _configured_tiers(self) -> list[Tier]:
        from bacalhau_jupyter.engines.process.tiers import chosen_tiers

        return chosen_tiers(self._options.settings("Engines.Process.Tiers"))

    async def _try(self, tier: Tier) -> str:
        """Say why a tier does not work here, or ""."""
        place = self._root / f".probe-{uuid.uuid4().hex[:8]}"
        candidate = ProcessEngine(dataclasses.replace(self._options, data_dir=place), tiers=[])
        candidate._tier = tier
        try:
            await asyncio.to_thread(candidate._executions.prepare_root)
            return await trial.problem(candidate, place, self._options.node_id)
        finally:
            await candidate.close()
            await asyncio.to_thread(remove_tree, place)

    async def bid(self, execution: Execution) -> Bid:
        if self._tier is None:
            return Bid(False, "this node can't confine processes, so its process engine is off")
        if bids.needs_own_python(execution):
            await self.environments.await_own()
        try:
            await asyncio.to_thread(self._check, execution, self._tier)
        except bids.Refused as reason:
            return Bid(False, f"this node {reason}")
        return ACCEPTED

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a process job can't get this GPU; empty when it can."""
        if self._tier is not None and not self._tier.mounts:
            return f"process jobs get GPUs only where bubblewrap works (this node has: {self._tier.label})"
        user = host.FIRST_JOB_UID if host.is_root() else -1
        try:
            await asyncio.to_thread(gpus.access, [gpu], user, self._driver)
        except gpus.NoAccess as reason:
            return str(reason)
        return ""

    def _check(self, execution: Execution, tier: Tier) -> tuple[ProcessParams, View]:
        return bids.check(execution, tier, self.environments)

    # --- start and attach -----------------------------------------------------------------------------------------

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Start the execution, or find it started already; return the tier's label.

        Raises
        ------
        EngineError
            The task can't run here, or the supervisor could not be started.
        IOFailure
            The disk is full or a directory can't be used.
        """
        tier = self._tier
        if tier is None:
            raise EngineError("this node can't confine processes", fails_execution=True)
        ours = self._executions
        return await ours.start(request, lambda state, user: self._plan(tier, state, user, request))

    def _plan(self, tier: Tier, state: State, user: int, request: RunRequest) -> Plan:
        try:
            params, view = self._check(request.execution, tier)
            request = dataclasses.replace(
                request, inputs=check_inputs(request.inputs, "Process", sockets=False)
            )
            outside = user >= 0 and not tier.mounts
            scratch = _scratch_outside() if outside else state.path / "scratch"
            runs_in = f"{tier.label}{bids.own_python_words(params, self.environments)}"
            state.note(About(runs_in, user, str(request.log_path), str(scratch) if outside else ""))
            scratch.mkdir(exist_ok=True)
            launch = Launch(
                request=request,
                params=params,
                view=view,
                scratch=scratch,
                ours=self._options.data_dir,
                user=user,
                gpus=gpus.access(request.resources.gpus, user, self._driver),
            )
            confined = tier.confine(launch)
        except bids.Refused as reason:
            raise EngineError(f"this node {reason}", fails_execution=True) from None
        except NotPlaced as error:
            raise EngineError(f"the inputs can't be laid out: {error}", fails_execution=True) from None
        except gpus.NoAccess as reason:
            raise EngineError(str(reason), fails_execution=True, retryable=True) from None
        except beneath.Changed as error:
            raise EngineError(f"the inputs are not mounted: {error}", fails_execution=True) from None
        node_file = self._executions.node_file
        return assemble(request, state, node_file, confined, host_network=launch.host_network)

    async def attach(self, request: RunRequest) -> bool:
        return await self._executions.attach(request)

    def prefixes(self, execution_id: str) -> Sequence[str]:
        """Return where a job with its own working directory finds inputs and outputs, in either tier."""
        from bacalhau_jupyter.engines.process.tiers.bubblewrap import JOB_DIRECTORY

        state = self._executions.state(execution_id)
        about = state.about()
        scratch = about.scratch if about is not None and about.scratch else str(state.path / "scratch")
        return (JOB_DIRECTORY, f"{scratch}/work")

    async def wait(self, execution_id: str) -> Outcome:
        return await self._executions.wait(execution_id)

    async def cancel(self, execution_id: str) -> None:
        await self._executions.cancel(execution_id)

    async def clean(self, execution_id: str) -> None:
        await self._executions.clean(execution_id)

    async def existing(self) -> list[str]:
        return await self._executions.existing()

    async def close(self) -> None:
        await self._executions.close()


def _scratch_outside() -> Path:
    """Create a directory that another user can reach, where the node's own directories are closed."""
    scratch = Path(tempfile.mkdtemp(prefix="bacalhau-job-"))
    scratch.chmod(0o711)
    return scratch

"""The engine: bids, starts supervisors, finds them again after a restart, and reads how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import sys
import tempfile
import threading
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bacalhau_jupyter.engines.network.doors import Doors
from bacalhau_jupyter.engines.network.rules import has_way_out, reach_of, rules_of
from bacalhau_jupyter.engines.process import bids, gpus, host, spawn
from bacalhau_jupyter.engines.process import outcomes as ending
from bacalhau_jupyter.engines.process import supervisor_watch as watch
from bacalhau_jupyter.engines.process import tier_trial as trial
from bacalhau_jupyter.engines.process.environments import Environments
from bacalhau_jupyter.engines.process.launch import STOP_GRACE_S, Launch, Tier, assemble
from bacalhau_jupyter.engines.process.params import ENGINE_TYPE, ProcessParams
from bacalhau_jupyter.engines.process.state import About, State, existing
from bacalhau_jupyter.engines.process.supervisor import process_tree as tree
from bacalhau_jupyter.engines.process.visible_paths import NotPlaced, View
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import ConfigurationError, EngineError, IOFailure
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.inputs import check_inputs
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach

_CLEAN_TIMEOUT_S = STOP_GRACE_S + 10.0


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
    ) -> None:
        self._options = options
        self._doors = Doors()
        self._reach = reach or reach_of(options.settings)
        self._driver = driver
        self._tiers = tiers
        self._tier: Tier | None = None
        self._root = options.data_dir / "process"
        self._node_file = self._root / "node"
        self.environments = Environments(options)
        self._watches: dict[str, asyncio.Task[Outcome]] = {}
        self._users: dict[str, int] = {}
        self._users_lock = threading.Lock()

    # --- what works here ------------------------------------------------------------------------------------------

    async def probe(self) -> Availability:
        """Find the best tier that really confines a program here."""
        if not sys.platform.startswith("linux"):
            return Availability(False, problem="the process engine needs Linux")
        problems = []
        try:
            await asyncio.to_thread(self._prepare_root)
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
                return Availability(True, runtime=tier.label)
            problems.append(f"{tier.label}: {problem}")
        return Availability(False, problem="no way to confine a process works here: " + "; ".join(problems))

    def _configured_tiers(self) -> list[Tier]:
        from bacalhau_jupyter.engines.process.tiers import chosen_tiers

        return chosen_tiers(self._options.settings("Engines.Process.Tiers"))

    def _prepare_root(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._root.glob(".probe-*"):
            State(leftover / "process", trial.EXECUTION_ID).remove()
            remove_tree(leftover)
        spawn.announce(self._node_file)

    async def _try(self, tier: Tier) -> str:
        """Say why a tier does not work here, or ""."""
        place = self._root / f".probe-{uuid.uuid4().hex[:8]}"
        candidate = ProcessEngine(dataclasses.replace(self._options, data_dir=place), tiers=[])
        candidate._tier = tier
        try:
            await asyncio.to_thread(candidate._prepare_root)
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
        state = State(self._root, request.execution.id)
        label = await asyncio.to_thread(self._existing, state)
        if label:
            await self._open_door(state, request)
            self._watch(state)
            return label
        launching = asyncio.ensure_future(asyncio.to_thread(self._launch, tier, state, request))
        try:
            pid, start = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # The thread can't be interrupted: the next cancel must find what it has started.
            await asyncio.gather(launching, return_exceptions=True)
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise IOFailure(
                "no space left on the disk for the execution's files" if full else f"can't start: {error}",
                fails_execution=True,
            ) from error
        self._watch(state, (pid, start))
        about = await asyncio.to_thread(state.about)
        return about.tier if about else tier.label

    def _existing(self, state: State) -> str:
        """Return the label of an execution that was started before; remove one that was only half started."""
        if not state.path.exists():
            return ""
        if state.is_alive() or state.was_started():
            about = state.about()
            return about.tier if about else ENGINE_TYPE
        state.remove()
        return ""

    def _launch(self, tier: Tier, state: State, request: RunRequest) -> tuple[int, str]:
        try:
            params, view = self._check(request.execution, tier)
        except bids.Refused as reason:
            raise EngineError(f"this node {reason}", fails_execution=True) from None
        request = dataclasses.replace(request, inputs=check_inputs(request.inputs, "Process", sockets=False))
        lock = state.create()
        try:
            user = self._take_user(request.execution.id) if host.is_root() else -1
            outside = user >= 0 and not tier.mounts
            scratch = _scratch_outside() if outside else state.path / "scratch"
            runs_in = f"{tier.label}{bids.own_python_words(params, self.environments)}"
            about = About(runs_in, user, str(request.log_path), str(scratch) if outside else "")
            try:
                state.note(about)
                if has_way_out(request):
                    self._doors.open(state.id, state.door, rules_of(request, self._reach))
                scratch.mkdir(exist_ok=True)
                launch = Launch(
                    request=request,
                    params=params,
                    view=view,
                    state=state,
                    node_file=self._node_file,
                    scratch=scratch,
                    ours=self._options.data_dir,
                    user=user,
                    gpus=gpus.access(request.resources.gpus, user, self._driver),
                )
                confined = tier.confine(launch)
                owned = [each.path for each in request.outputs]
                state.write(assemble(launch, confined, owned))
                pid = spawn.spawn(state, lock)
            except BaseException:
                if outside:
                    remove_tree(scratch)
                raise
        except NotPlaced as error:
            self._forget(state)
            raise EngineError(f"the inputs can't be laid out: {error}", fails_execution=True) from None
        except gpus.NoAccess as reason:
            self._forget(state)
            raise EngineError(str(reason), fails_execution=True, retryable=True) from None
        except beneath.Changed as error:
            self._forget(state)
            raise EngineError(f"the inputs are not mounted: {error}", fails_execution=True) from None
        except BaseException:
            self._forget(state)
            raise
        finally:
            os.close(lock)
        return pid, tree.start_time(pid)

    def _forget(self, state: State) -> None:
        self._doors.close(state.id)
        remove_tree(state.path)
        with self._users_lock:
            self._users.pop(state.id, None)

    def _take_user(self, execution_id: str) -> int:
        """Give a job a uid that no other job here has, so that jobs can't touch each other."""
        with self._users_lock:
            for existing_id in existing(self._root):
                about = State(self._root, existing_id).about()
                if about and existing_id not in self._users:
                    self._users[existing_id] = about.user
            taken = set(self._users.values())
            first = zlib.crc32(f"{self._options.node_id}/{execution_id}".encode())
            for step in range(host.JOB_UIDS):
                user = host.FIRST_JOB_UID + (first + step) % host.JOB_UIDS
                if user not in taken and not host.is_known_user(user):
                    self._users[execution_id] = user
                    return user
        raise EngineError("no uid is left for another process job", retryable=True)

    async def attach(self, request: RunRequest) -> bool:
        state = State(self._root, request.execution.id)
        if not await asyncio.to_thread(lambda: state.is_alive() or state.was_started()):
            return False
        await self._open_door(state, request)
        self._watch(state)
        return True

    async def _open_door(self, state: State, request: RunRequest) -> None:
        """After a restart of the node: wait again for what listens in the job's network."""
        if has_way_out(request):
            rules = rules_of(request, self._reach)
            await asyncio.to_thread(self._doors.open, state.id, state.door, rules)

    def prefixes(self, execution_id: str) -> Sequence[str]:
        """Return where a job with its own working directory finds inputs and outputs, in either tier."""
        from bacalhau_jupyter.engines.process.tiers.bubblewrap import JOB_DIRECTORY

        state = State(self._root, execution_id)
        about = state.about()
        scratch = about.scratch if about is not None and about.scratch else str(state.path / "scratch")
        return (JOB_DIRECTORY, f"{scratch}/work")

    # --- wait, cancel, clean --------------------------------------------------------------------------------------

    def _watch(self, state: State, supervisor: tuple[int, str] | None = None) -> asyncio.Task[Outcome]:
        watch_task = self._watches.get(state.id)
        if watch_task is None:
            watch_task = asyncio.create_task(self._follow(state, supervisor), name=f"process-{state.id}")
            self._watches[state.id] = watch_task
        return watch_task

    async def _follow(self, state: State, supervisor: tuple[int, str] | None) -> Outcome:
        if supervisor is None:
            supervisor = await asyncio.to_thread(state.supervisor)
        if supervisor is not None:
            await watch.until_ended(state, *supervisor)
        # For a supervisor that ended, the lock is free; for one that is only just starting, it tells its end.
        if await asyncio.to_thread(state.is_alive):
            await watch.until_unlocked(state)
        return await asyncio.to_thread(ending.read_outcome, state)

    async def wait(self, execution_id: str) -> Outcome:
        """Wait until the task has ended and all its output is in the log file.

        Raises
        ------
        EngineError
            The execution is unknown here.
        """
        if execution_id not in self._watches:
            state = State(self._root, execution_id)
            if not await asyncio.to_thread(state.path.exists):
                raise EngineError(f"execution {execution_id} is unknown here")
            self._watch(state)
        return await asyncio.shield(self._watches[execution_id])

    async def cancel(self, execution_id: str) -> None:
        await asyncio.to_thread(ending.cancel, State(self._root, execution_id))

    async def clean(self, execution_id: str) -> None:
        state = State(self._root, execution_id)
        if await asyncio.to_thread(state.is_alive):
            await asyncio.to_thread(ending.cancel, state)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLEAN_TIMEOUT_S):
                    await asyncio.shield(self._watch(state))
            await asyncio.to_thread(ending.kill, state)
        task = self._watches.pop(execution_id, None)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(self._doors.close, execution_id)
        await asyncio.to_thread(state.remove)
        with self._users_lock:
            self._users.pop(execution_id, None)

    async def existing(self) -> list[str]:
        return await asyncio.to_thread(existing, self._root)

    async def close(self) -> None:
        watches, self._watches = list(self._watches.values()), {}
        for task in watches:
            task.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await asyncio.to_thread(self._doors.stop)


def _scratch_outside() -> Path:
    """Create a directory that another user can reach, where the node's own directories are closed."""
    scratch = Path(tempfile.mkdtemp(prefix="bacalhau-job-"))
    scratch.chmod(0o711)
    return scratch

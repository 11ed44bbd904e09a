"""The executions of one engine that supervisors run: starting, finding again, waiting, ending, removing.

How an execution is confined is the engine's own; everything here is the same for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from bacalhau_jupyter.engines.network.doors import Doors
from bacalhau_jupyter.engines.network.rules import has_way_out, reach_of, rules_of
from bacalhau_jupyter.engines.supervised import host, spawn, users, watch
from bacalhau_jupyter.engines.supervised import outcomes as ending
from bacalhau_jupyter.engines.supervised.cgroups.delegated import NOTHING, Delegated, of_this_node, sweep
from bacalhau_jupyter.engines.supervised.cgroups.limits import in_words, settings, without_memory
from bacalhau_jupyter.engines.supervised.launch import STOP_GRACE_S
from bacalhau_jupyter.engines.supervised.starting import SHARED, Starter
from bacalhau_jupyter.engines.supervised.state import State, existing
from bacalhau_jupyter.engines.supervised.supervisor import process_tree as tree
from bacalhau_jupyter.engines.supervised.supervisor.plain import UNDATED
from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach

_CLEAN_TIMEOUT_S = STOP_GRACE_S + 10.0

Prepare = Callable[[State, int], Plan]
"""Works out how to run an execution, given its directory and the job's uid (-1: the node's own).

It notes (`State.note`) what has to be removed before it makes anything outside of the directory.
"""


class Executions:
    """The executions of one engine.

    Parameters
    ----------
    options
        The node's.
    root
        The engine's directory; each execution gets one below it.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.
    groups
        Where jobs get control groups; None: this node's own, from `prepare_root` on.
    starter
        Starts supervisors.
    plain
        Whether only what every Unix has is used to look after the executions (`supervisor.plain`).
    """

    def __init__(
        self,
        options: PluginOptions,
        root: Path,
        reach: Reach | None = None,
        groups: Delegated | None = None,
        starter: Starter = SHARED,
        *,
        plain: bool = False,
    ) -> None:
        self._options = options
        self._root = root
        self.node_file = root / "node"
        self._starter = starter
        self._doors = Doors()
        self._reach = reach or reach_of(options.settings)
        self._watches: dict[str, asyncio.Task[Outcome]] = {}
        self.delegated = groups or NOTHING
        self._plain = plain
        self._held = -1
        self._own_groups = groups is None and not plain and options.settings("Engines.Cgroups") is not False
        self._users = users.users_of(options.data_dir)
        self._users.look_at(root)

    def prepare_root(self) -> None:
        """Create the directory, remove what trials left there, and say which node looks after it from now on."""
        self._starter.join(self)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._root.glob(".probe-*"):
            for root in (each for each in leftover.iterdir() if each.is_dir()):
                for execution_id in existing(root):
                    State(root, execution_id).remove()
            remove_tree(leftover)
        if not self._plain:
            spawn.announce(self.node_file)
        elif self._held < 0:
            self._held = spawn.hold(self.node_file)
        if self._own_groups:
            self.delegated = of_this_node()
        sweep(self.delegated)

    def state(self, execution_id: str) -> State:
        """Return an execution's directory.

        Raises
        ------
        EngineError
            The ID can't be a directory's name.
        """
        return State(self._root, execution_id)

    # --- start and attach -----------------------------------------------------------------------------------------

    async def start(self, request: RunRequest, prepare: Prepare) -> str:
        """Start an execution, or find it started already; return what it runs in, as it was noted.

        ``prepare`` is called in a thread.

        Raises
        ------
        EngineError
            The supervisor could not be started, or no uid is left; whatever ``prepare`` raises.
        IOFailure
            The disk is full or a directory can't be used.
        """
        state = self.state(request.execution.id)
        if await asyncio.to_thread(_was_started, state):
            await self._open_door(state, request)
            self._watch(state)
            return await asyncio.to_thread(_runs_in, state)
        launching = asyncio.ensure_future(asyncio.to_thread(self._launch, state, request, prepare))
        try:
            supervisor = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # The thread can't be interrupted: the next cancel must find what it has started.
            await asyncio.gather(launching, return_exceptions=True)
            raise
        except OSError as error:
            full = is_full(error)
            raise IOFailure(
                "no space left on the disk for the execution's files" if full else f"can't start: {error}",
                fails_execution=True,
            ) from error
        self._watch(state, supervisor)
        return await asyncio.to_thread(_runs_in, state)

    def _launch(self, state: State, request: RunRequest, prepare: Prepare) -> tuple[int, str]:
        lock = state.create()
        try:
            user = self._user_for(state.id) if host.is_root() else -1
            if has_way_out(request):
                self._doors.open(state.id, state.door, rules_of(request, self._reach))
            plan = self._with_group(prepare(state, user), state, request)
            state.write(plan)
            if self._plain:
                pid = spawn.spawn(state, lock, own_session=True)
            else:
                self._starter.join(self)
                pid = self._starter.start(state, lock, plan["runner"])
        except BaseException:
            self._doors.close(state.id)
            state.remove()
            self._users.give_back(state.id)
            raise
        finally:
            os.close(lock)
        return pid, UNDATED if self._plain else tree.start_time(pid)

    def lacking(self) -> str:
        """Say why jobs can't get users of their own here; empty where they can, or need none."""
        # User namespaces are Linux's.
        return users.problem() if host.is_root() and not self._plain else ""

    def _user_for(self, execution_id: str) -> int:
        if lacking := self.lacking():
            raise EngineError(lacking)
        return self._users.take(self._options.node_id, execution_id)

    def _with_group(self, plan: Plan, state: State, request: RunRequest) -> Plan:
        """Give the job a control group with its limits, where this node may make one."""
        group = self.delegated.group_of(state.path)
        if group is None:
            return plan
        write_text(state.group_file, str(group))
        controllers = self.delegated.controllers
        memory = request.resources.memory + plan["memory_besides"] if request.resources.memory else 0
        granted = replace(request.resources, memory=memory)
        plan["group"], plan["group_settings"] = str(group), settings(granted, controllers)
        if "pids" in controllers:
            plan["processes"] = 0
        if "memory" in controllers and not plan["runner"]:
            plan["limits"] = without_memory(plan["limits"])
        return plan

    async def has_started(self, execution_id: str) -> bool:
        """Whether an execution was started, and something is kept of it."""
        state = self.state(execution_id)
        return await asyncio.to_thread(lambda: state.is_alive() or state.was_started())

    async def attach(self, request: RunRequest) -> bool:
        """After a node restart: whether the execution still exists and can be waited for."""
        state = self.state(request.execution.id)
        if not await self.has_started(state.id):
            return False
        await self._open_door(state, request)
        self._watch(state)
        return True

    async def _open_door(self, state: State, request: RunRequest) -> None:
        """After a restart of the node: wait again for what listens in the job's network."""
        if has_way_out(request):
            rules = rules_of(request, self._reach)
            await asyncio.to_thread(self._doors.open, state.id, state.door, rules)

    # --- wait, cancel, clean --------------------------------------------------------------------------------------

    def _watch(self, state: State, supervisor: tuple[int, str] | None = None) -> asyncio.Task[Outcome]:
        watch_task = self._watches.get(state.id)
        if watch_task is None:
            watch_task = asyncio.create_task(self._follow(state, supervisor), name=f"supervised-{state.id}")
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
            state = self.state(execution_id)
            if not await asyncio.to_thread(state.path.exists):
                raise EngineError(f"execution {execution_id} is unknown here")
            self._watch(state)
        return await asyncio.shield(self._watches[execution_id])

    async def cancel(self, execution_id: str) -> None:
        """Ask an execution to end, and kill it after its grace; unknown or ended: nothing."""
        await asyncio.to_thread(ending.cancel, self.state(execution_id))

    async def clean(self, execution_id: str) -> None:
        """Remove all that is kept of an execution; one that still runs is ended first."""
        state = self.state(execution_id)
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
        self._users.give_back(execution_id)

    async def existing(self) -> list[str]:
        """Return the IDs of the executions that something is kept of."""
        return await asyncio.to_thread(existing, self._root)

    async def close(self) -> None:
        """Stop watching; what runs goes on."""
        watches, self._watches = list(self._watches.values()), {}
        for task in watches:
            task.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await asyncio.to_thread(self._doors.stop)
        await asyncio.to_thread(self._starter.leave, self)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def limited(self, *, own_users: bool | None = None) -> str:
        """Say what limits jobs here.

        Parameters
        ----------
        own_users
            Whether the kernel counts the processes of a job's users apart from those of everybody else; None: where
            the node is root.
        """
        counts = host.is_root() if own_users is None else own_users
        return in_words(self.delegated.controllers, counts_processes=counts)


def _was_started(state: State) -> bool:
    """Whether an execution was started before; one that was only half started is removed."""
    if not state.path.exists():
        return False
    if state.is_alive() or state.was_started():
        return True
    state.remove()
    return False


def _runs_in(state: State) -> str:
    about = state.about()
    return about.tier if about else ""

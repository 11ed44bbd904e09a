"""Keeps what a node offers true: what its machine has, what others hold of it, and whether it takes jobs at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bacalhau_jupyter.compute.host.capacity import Capacity, allocated
from bacalhau_jupyter.compute.host.gpu_watch import watch_gpus
from bacalhau_jupyter.compute.host.machine import Machine, MachineFacts
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace


class Survey:
    """What is known of a node's machine.

    Parameters
    ----------
    machine
        The machine.
    settings
        Configuration of the compute role.

    Attributes
    ----------
    facts
        What the machine has; nothing until `begin` has returned.
    gpu_problems
        Why GPUs can't be found or given to jobs, by the name of the tool or engine.
    unavailable
        Why the node takes nothing new at present, one sentence; empty while it does.
    is_away
        Whether the machine can't be reached.
    """

    def __init__(self, machine: Machine, settings: ComputeSettings) -> None:
        self._machine = machine
        self._settings = settings
        self._looked: asyncio.Task[MachineFacts] | None = None
        self.facts = MachineFacts()
        self.gpu_problems: dict[str, str] = {}
        self.unavailable = ""
        self.is_away = False
        self._doubted = asyncio.Event()

    def begin(self) -> asyncio.Task[MachineFacts]:
        """Look at the machine, beside what else a start does."""
        self._looked = asyncio.create_task(self._machine.look(), name="compute machine")
        return self._looked

    async def finish(self, plugins: Plugins) -> None:
        """Wait for what `begin` began, and ask the engines for which GPUs jobs can get."""
        self.facts = await (self._looked or self.begin())
        self.gpu_problems.update(await self._ask_gpus(plugins))

    def reason(self, plugins: Plugins) -> str:
        """Say why the node takes nothing new at present; empty while it does.

        A machine elsewhere that is back, and whose engine has not been asked again yet, does not lack an engine.
        """
        if self.unavailable or self.facts.is_here:
            return self.unavailable
        if not plugins.working_engines():
            _, problems = plugins.runtimes()
            return next(iter(problems.values()), "") or "its engine has not been asked yet"
        return "its machine has not been asked yet" if self.facts.resources.is_zero else ""

    def limit(self, cached_bytes: int) -> Resources:
        """Return how much of the machine jobs may use.

        Parameters
        ----------
        cached_bytes
            What the cache of inputs has on this disk: it is evicted when an execution needs the space.

        Raises
        ------
        ConfigurationError
            A capacity setting is wrong.
        """
        there = self.facts.resources
        if self.facts.is_here:
            there = replace(there, disk=there.disk + cached_bytes)
        return allocated(self._settings.allocated, there)

    async def keep(
        self, plugins: Plugins, capacity: Capacity, changed: Callable[[], None], cached: Callable[[], int]
    ) -> None:
        """Follow what changes; does not return while something can.

        Parameters
        ----------
        changed
            Called when node info says something else than before.
        cached
            Returns what the cache of inputs has on this disk.
        """

        async def ask() -> dict[str, str]:
            return await self._ask_gpus(plugins)

        def looked(facts: MachineFacts) -> None:
            if facts == self.facts:
                return
            for tool in self.facts.gpu_problems:
                self.gpu_problems.pop(tool, None)
            self.gpu_problems.update(facts.gpu_problems)
            self.facts = facts
            capacity.limit = self.limit(cached())
            capacity.hold_elsewhere(facts.taken)
            changed()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._machine.watch(looked))
            if self.facts.resources.gpus or not self.facts.is_here:
                every_s = self._settings.gpus_asked_s
                tasks.create_task(watch_gpus(self.gpu_problems, ask, changed, every_s, self._doubted))

    def look_again(self) -> None:
        """Look at the machine now, and ask its engines for GPUs: a job did not get what counted as free."""
        self._machine.again()
        self._doubted.set()

    def found_full(self) -> None:
        """Look at the machine now where others held some of it when it was seen last: they may be done."""
        if not self.facts.taken.is_zero:
            self._machine.again()

    async def _ask_gpus(self, plugins: Plugins) -> dict[str, str]:
        gpus, timeout_s = self.facts.resources.gpus, self._settings.probe_timeout_s
        return dict(self.facts.gpu_problems) | await plugins.gpu_problems(gpus, timeout_s)

"""Capacity: how much of this host may be used, and what each execution holds."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Collection, Sequence

from bacalhau_jupyter.compute.host.account import Account
from bacalhau_jupyter.compute.host.ports import Ports
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import Port, ResourcesConfig, replace
from bacalhau_jupyter.models.jobs.units import format_bytes, parse_bytes, parse_cpu, parse_gpu

DEFAULT_CPU = 0.1
"""Cores an execution gets when its job says nothing."""
DEFAULT_MEMORY = 100 * 1024 * 1024
"""Bytes of memory an execution gets when its job says nothing."""

STOPPING_S = 10.0
"""Seconds for which a bid waits for the end of what is being stopped."""

_ELSEWHERE = ""
"""Stands in the account for all that is no execution of ours."""

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")

DEFAULT_ALLOCATION = ResourcesConfig(cpu="80%", memory="80%", disk="80%", gpu="100%")
"""How much of the host may be used unless configured."""


def allocated(settings: ResourcesConfig, host: Resources) -> Resources:
    """Return how much of ``host`` may be used.

    Each member of ``settings`` is a percentage of what there is or an amount ("500m", "1Gi"); empty means the
    default. An amount above what there is is allowed: the person knows better.

    Raises
    ------
    ConfigurationError
        A member is neither a percentage up to 100 nor an amount; its key is named.
    """
    default = DEFAULT_ALLOCATION
    count = _gpu_share(settings.gpu or default.gpu, host.gpu)
    return Resources(
        cpu=_share("CPU", settings.cpu or default.cpu, host.cpu, parse_cpu),
        memory=int(_share("Memory", settings.memory or default.memory, host.memory, parse_bytes)),
        disk=int(_share("Disk", settings.disk or default.disk, host.disk, parse_bytes)),
        gpu=count,
        gpus=host.gpus[:count],
    )


def most_per_job(settings: ResourcesConfig, limit: Resources) -> Resources:
    """Return how much of ``limit``, which is for all jobs, one job may ask for; empty members mean all of it.

    Raises
    ------
    ConfigurationError
        A member is neither a percentage nor an amount; its key is named.
    """
    section = "JobAdmissionControl.Max"
    return Resources(
        cpu=_share("CPU", settings.cpu or "100%", limit.cpu, parse_cpu, section),
        memory=int(_share("Memory", settings.memory or "100%", limit.memory, parse_bytes, section)),
        disk=int(_share("Disk", settings.disk or "100%", limit.disk, parse_bytes, section)),
        gpu=int(_share("GPU", settings.gpu or "100%", limit.gpu, parse_gpu, section)),
    )


def _share(
    key: str,
    setting: str,
    there: float,
    parse: Callable[[str], float],
    section: str = "Compute.AllocatedCapacity.",
) -> float:
    percent = _PERCENT.fullmatch(setting)
    if percent is not None:
        if float(percent[1]) > 100:
            raise ConfigurationError(
                f"{section}{key} must be between 0% and 100%, not {setting.strip()}",
                hint="an amount may be more than there is: the person who sets it knows better",
                component="Capacity",
            )
        return round(there * float(percent[1]) / 100, 6)
    try:
        return parse(setting)
    except ValueError as error:
        raise ConfigurationError(
            f"{section}{key} is neither a percentage nor an amount: {setting!r}",
            hint='for example "80%", "500m" (CPU) or "4Gi"',
            component="Capacity",
        ) from error


def _gpu_share(setting: str, there: int) -> int:
    share = _share("GPU", setting, there, parse_gpu)
    # A percentage must not take the only GPU away.
    return min(there, max(int(share), 1 if share > 0 else 0))


def with_defaults(requested: Resources, inputs_bytes: int = 0) -> Resources:
    """Fill in what a job left out; ``inputs_bytes`` is the disk its inputs are known to need."""
    return replace(
        requested,
        cpu=requested.cpu or DEFAULT_CPU,
        memory=requested.memory or DEFAULT_MEMORY,
        disk=max(requested.disk, inputs_bytes),
    )


def shortfall(requested: Resources, available: Resources) -> str:
    """Name each resource of which there is too little: ``CPU (2 > 1.6)``; empty when all fits."""
    parts = []
    if requested.cpu > available.cpu + 1e-9:
        parts.append(f"CPU ({requested.cpu:g} > {available.cpu:g})")
    if requested.memory > available.memory:
        parts.append(f"Memory ({format_bytes(requested.memory)} > {format_bytes(available.memory)})")
    if requested.disk > available.disk:
        parts.append(f"Disk ({format_bytes(requested.disk)} > {format_bytes(available.disk)})")
    if requested.gpu > available.gpu:
        parts.append(f"GPU ({requested.gpu} > {available.gpu})")
    return " and ".join(parts)


class Capacity:
    """Keeps account of who holds what; not thread-safe, used on the event loop only.

    Parameters
    ----------
    limit
        What may be used in all, GPUs one by one.
    ports
        Who holds which port of this host; those of the usual range, if left out.
    account
        What all compute nodes hold that share this machine; one of its own, if left out.
    """

    def __init__(self, limit: Resources, ports: Ports | None = None, account: Account | None = None) -> None:
        self.limit = limit
        self.ports = ports or Ports()
        self._account = account or Account()
        # Others that share the machine may give back what a bid waits for.
        self._account.watch(self, self._on_change)
        self._own: set[str] = set()
        self._returned = asyncio.Event()
        self.changed_elsewhere: Callable[[], None] = lambda: None

    @property
    def available(self) -> Resources:
        """What is free now."""
        return self._free_without()

    @property
    def holders(self) -> Collection[str]:
        """Execution IDs of this node that hold something."""
        return self._own

    def reserve(
        self, execution_id: str, requested: Resources, usable: Collection[GPU] | None = None
    ) -> Resources | None:
        """Reserve and return what was given (with its GPUs), or None when it does not fit now.

        Asking again for the same execution returns what it holds already.

        Parameters
        ----------
        usable
            The GPUs that would do; None means all.
        """
        if execution_id in self._own:
            return self._account.held[execution_id]
        free = self.available
        would_do = {gpu.key for gpu in (self.limit.gpus if usable is None else usable)}
        gpus = [gpu for gpu in free.gpus if gpu.key in would_do]
        if not requested.fits(free) or requested.gpu > len(gpus):
            return None
        reserved = replace(requested, gpus=gpus[: requested.gpu])
        self._hold(execution_id, reserved)
        return reserved

    async def reserve_soon(
        self, execution_id: str, requested: Resources, usable: Collection[GPU] | None = None
    ) -> Resources | None:
        """As `reserve`, but wait for what is being stopped if that would be enough; the first to ask is served first.

        Otherwise the job whose turn it is would be refused, and the next one, which asks a moment later, be taken.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING_S):
                while (held := self.reserve(execution_id, requested, usable)) is None:
                    leaving = self._account.leaving
                    soon = self._free_without(leaving)
                    if leaving.isdisjoint(self._account.held) or not requested.fits(soon):
                        return None
                    self._returned.clear()
                    await self._returned.wait()
                return held
        return self.reserve(execution_id, requested, usable)

    def leaving(self, execution_id: str) -> None:
        """An execution is being stopped: what it holds comes back soon."""
        self._account.leaving.add(execution_id)

    def _free_without(self, leaving: Collection[str] = ()) -> Resources:
        """Return what is free, also counting what some executions still hold."""
        free = self.limit
        for execution_id, held in self._account.held.items():
            if execution_id not in leaving:
                free = free.minus(held)
        return free

    def restore(self, execution_id: str, held: Resources, ports: Sequence[Port] = ()) -> None:
        """Take over what an execution held before a restart, even where the limit has shrunk since."""
        self._hold(execution_id, held)
        self.ports.restore(execution_id, ports)

    def release(self, execution_id: str) -> bool:
        """Give back what an execution holds, its ports, too; False when it holds nothing."""
        self.ports.release(execution_id)
        if execution_id not in self._own:
            return False
        self._own.discard(execution_id)
        self._account.leaving.discard(execution_id)
        del self._account.held[execution_id]
        self._returned.set()
        self._account.tell_others(self)
        return True

    def close(self) -> None:
        """Give back everything: this node goes away, and what it ran is nobody's business here any more."""
        self.ports.close()
        for execution_id in list(self._own):
            self.release(execution_id)
        self._account.forget(self)

    def hold_elsewhere(self, resources: Resources) -> None:
        """Count what others than compute nodes of ours hold of this machine, in place of what was counted before."""
        before = self._account.held.pop(_ELSEWHERE, Resources())
        if not resources.is_zero:
            self._account.held[_ELSEWHERE] = resources
        if resources != before:
            self._returned.set()
            self._account.tell_others(self)

    def _hold(self, execution_id: str, resources: Resources) -> None:
        self._own.add(execution_id)
        self._account.held[execution_id] = resources
        self._account.tell_others(self)

    def _on_change(self) -> None:
        self._returned.set()
        self.changed_elsewhere()

"""Capacity: what this host has, how much of it may be used, what each execution holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from bacalhau_jupyter.compute.host.ports import Ports
from bacalhau_jupyter.lib.text import read_text
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

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_UNLIMITED = 1 << 60


DEFAULT_ALLOCATION = ResourcesConfig(cpu="80%", memory="80%", disk="80%", gpu="100%")
"""How much of the host may be used unless configured."""


def host_resources(data_dir: Path, gpus: Sequence[GPU] = (), root: Path = Path("/")) -> Resources:
    """Measure this host; blocks briefly.

    CPU is what the scheduler lets this process use, memory what its control group may take, disk what is free
    where ``data_dir`` lies. ``root`` replaces ``/`` in tests.
    """
    return Resources(
        cpu=_cpu(root), memory=_memory(root), disk=_free_disk(data_dir), gpu=len(gpus), gpus=list(gpus)
    )


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
    """

    def __init__(self, limit: Resources, ports: Ports | None = None) -> None:
        self.limit = limit
        self.ports = ports or Ports()
        self._held: dict[str, Resources] = {}
        self._leaving: set[str] = set()
        self._returned = asyncio.Event()

    @property
    def available(self) -> Resources:
        """What is free now."""
        return self._free_without()

    @property
    def holders(self) -> Collection[str]:
        """Execution IDs that hold something."""
        return self._held.keys()

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
        if execution_id in self._held:
            return self._held[execution_id]
        free = self.available
        would_do = {gpu.key for gpu in (self.limit.gpus if usable is None else usable)}
        gpus = [gpu for gpu in free.gpus if gpu.key in would_do]
        if not requested.fits(free) or requested.gpu > len(gpus):
            return None
        reserved = replace(requested, gpus=gpus[: requested.gpu])
        self._held[execution_id] = reserved
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
                    soon = self._free_without(self._leaving)
                    if self._leaving.isdisjoint(self._held) or not requested.fits(soon):
                        return None
                    self._returned.clear()
                    await self._returned.wait()
                return held
        return self.reserve(execution_id, requested, usable)

    def leaving(self, execution_id: str) -> None:
        """An execution is being stopped: what it holds comes back soon."""
        self._leaving.add(execution_id)

    def _free_without(self, leaving: Collection[str] = ()) -> Resources:
        """Return what is free, also counting what some executions still hold."""
        free = self.limit
        for execution_id, held in self._held.items():
            if execution_id not in leaving:
                free = free.minus(held)
        return free

    def restore(self, execution_id: str, held: Resources, ports: Sequence[Port] = ()) -> None:
        """Take over what an execution held before a restart, even where the limit has shrunk since."""
        self._held[execution_id] = held
        self.ports.restore(execution_id, ports)

    def release(self, execution_id: str) -> bool:
        """Give back what an execution holds, its ports, too; False when it holds nothing."""
        self.ports.release(execution_id)
        self._leaving.discard(execution_id)
        self._returned.set()
        return self._held.pop(execution_id, None) is not None


def _cpu(root: Path) -> float:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity is not None else os.cpu_count() or 1)
    for directory in _group_directories(root, "cpu"):
        quota = _cpu_quota(directory)
        if quota is not None:
            cores = min(cores, quota)
    return round(cores, 3)


def _cpu_quota(directory: Path) -> float | None:
    """Cores a control group may use, or None: v2 ``cpu.max``, v1 ``cpu.cfs_*``."""
    words = _words(directory / "cpu.max")
    if not words:
        words = _words(directory / "cpu.cfs_quota_us") + _words(directory / "cpu.cfs_period_us")
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit() or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _memory(root: Path) -> int:
    total = _total_memory(root)
    for directory in _group_directories(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(directory / name)
            if words and words[0].isdigit() and int(words[0]) < _UNLIMITED:
                total = min(total, int(words[0]))
    return total


def _total_memory(root: Path) -> int:
    words = _words(root / "proc/meminfo")
    if len(words) > 1 and words[0] == "MemTotal:":
        return int(words[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_disk(directory: Path) -> int:
    for place in (directory, *directory.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


def _group_directories(root: Path, controller: str) -> Iterator[Path]:
    """Yield the control groups this process is in, from its own up to the root, for v2 and v1 alike."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, name = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            bases = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            bases = [mount / controllers, mount / controller]
        else:
            continue
        for base in bases:
            group = base / name.strip("/")
            while True:
                yield group
                if group in (base, group.parent):
                    break
                group = group.parent


def _words(path: Path) -> list[str]:
    lines = _lines(path)
    return lines[0].split() if lines else []


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path, errors="replace").splitlines()
    except OSError:
        return []

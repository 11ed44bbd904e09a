"""What this host has for a process: CPU, memory, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.jobs.resources import GPU, Resources

_UNLIMITED = 1 << 60


def host_resources(data_dir: Path, gpus: Sequence[GPU] = (), root: Path = Path("/")) -> Resources:
    """Measure this host; blocks briefly.

    CPU is what the scheduler lets this process use, memory what its control group may take, disk what is free
    where ``data_dir`` lies. ``root`` replaces ``/`` in tests.
    """
    return Resources(
        cpu=_cpu(root), memory=_memory(root), disk=_free_disk(data_dir), gpu=len(gpus), gpus=list(gpus)
    )


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

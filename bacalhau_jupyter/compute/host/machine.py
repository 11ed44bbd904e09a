"""The machine whose CPUs, memory, disk and GPUs a compute node offers: this one, or one elsewhere."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.compute.host.gpus import HostGpus, find_gpus
from bacalhau_jupyter.compute.host.measuring import host_resources
from bacalhau_jupyter.models.jobs.resources import Resources

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What the kernel calls an architecture → what Docker and official nodes call it."""


@dataclass(frozen=True)
class MachineFacts:
    """What a machine has.

    Attributes
    ----------
    resources
        All of it, GPUs one by one.
    labels
        ``os_type`` and ``os_arch``.
    gpu_problems
        Why a vendor's tool there can't say anything, by its name.
    taken
        What others are known to hold of it.
    is_here
        Whether its disk is the one of this process.
    """

    resources: Resources = field(default_factory=Resources)
    labels: Mapping[str, str] = field(default_factory=dict)
    gpu_problems: Mapping[str, str] = field(default_factory=dict)
    taken: Resources = field(default_factory=Resources)
    is_here: bool = False


class Machine(Protocol):
    """Tells what a machine has."""

    async def look(self) -> MachineFacts:
        """Return what is known now; does not wait for a machine that is away."""
        ...

    async def watch(self, changed: Callable[[MachineFacts], None]) -> None:
        """Tell what is new, on the event loop; returns where nothing is looked for again."""
        ...

    def again(self) -> None:
        """Look now, where that can bring something new."""
        ...


class LocalMachine:
    """The machine of this process, looked at once.

    Parameters
    ----------
    data_dir
        A directory on the disk that jobs may fill.
    probe_gpus
        Whether the vendors' tools are asked for GPUs.
    """

    def __init__(self, data_dir: Path, *, probe_gpus: bool = True) -> None:
        self._data_dir = data_dir
        self._probe_gpus = probe_gpus

    async def look(self) -> MachineFacts:
        tools = await find_gpus() if self._probe_gpus else HostGpus()
        resources = await asyncio.to_thread(host_resources, self._data_dir, tools.gpus)
        labels = platform_labels(platform.system(), platform.machine())
        return MachineFacts(resources, labels, tools.problems, is_here=True)

    async def watch(self, changed: Callable[[MachineFacts], None]) -> None:
        del changed

    def again(self) -> None:
        pass


def platform_labels(system: str, architecture: str) -> dict[str, str]:
    """Return the labels of a platform, as official nodes write them."""
    machine = architecture.strip().lower()
    return {"os_type": system.strip().lower(), "os_arch": ARCHITECTURES.get(machine, machine)}

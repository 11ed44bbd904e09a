"""GPUs for jobs: their device files, shown to the job that holds them only, and the variables that name them.

A job sees no other GPU, so libraries count those that it has from 0. NVIDIA's are named by UUID where the driver tells
it, which is right however a library counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.plugins.gpu_files import pci_address, render_nodes

_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,}")
_NVIDIA_NEEDED = ("nvidiactl", "nvidia-uvm")
_NVIDIA_FURTHER = ("nvidia-uvm-tools", "nvidia-modeset")
_FACTS = ("class/drm", "class/kfd", "dev/char", "devices/virtual/kfd")
"""What libraries of AMD and Intel read of ``/sys`` to find the GPUs."""


class NoAccess(Exception):
    """A job can't get a GPU here; the text is one sentence."""


@dataclass(frozen=True)
class Driver:
    """Where the drivers of this host show their GPUs."""

    devices: Path = Path("/dev")
    nvidia: Path = Path("/proc/driver/nvidia/gpus")
    system: Path = Path("/sys")


@dataclass(frozen=True)
class Access:
    """What a job needs to use its GPUs.

    Attributes
    ----------
    files
        Device files: where they are, and where the job finds them.
    facts
        What the job may read of ``/sys``.
    variables
        For its environment.
    """

    files: tuple[tuple[Path, str], ...] = ()
    facts: tuple[Path, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


NO_GPUS = Access()


def access(gpus: Sequence[GPU], user: int = -1, driver: Driver | None = None) -> Access:
    """Return what a job needs to use these GPUs.

    Parameters
    ----------
    gpus
        What the execution holds.
    user
        The uid that the job becomes; -1 for the node's own.
    driver
        Where the drivers show them; None means this host.

    Raises
    ------
    NoAccess
        A device file is missing, or the job's user may not use it.
    """
    driver = driver or Driver()
    vendors: dict[str, list[GPU]] = {}
    for gpu in gpus:
        vendors.setdefault(gpu.vendor.upper(), []).append(gpu)
    names: list[str] = []
    variables: dict[str, str] = {}
    facts: list[Path] = []
    for vendor, group in vendors.items():
        count = ",".join(map(str, range(len(group))))
        match vendor:
            case "NVIDIA":
                cards = [nvidia_card(gpu, driver) for gpu in group]
                names += [name for name, _ in cards] + _nvidia_control(driver)
                uuids = [uuid for _, uuid in cards if uuid]
                variables["CUDA_VISIBLE_DEVICES"] = ",".join(uuids) if len(uuids) == len(group) else count
                variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            case "AMD/ATI":
                names += ["kfd", *(name for gpu in group for name in _render_names(gpu, driver))]
                variables |= {"HIP_VISIBLE_DEVICES": count, "ROCR_VISIBLE_DEVICES": count}
                facts += _facts(group, driver)
            case "INTEL":
                names += [name for gpu in group for name in _render_names(gpu, driver)]
                variables["ZE_AFFINITY_MASK"] = count
                facts += _facts(group, driver)
            case _:
                raise NoAccess(f"jobs can't get a GPU of vendor {group[0].vendor or 'unknown'} here")
    files = [(driver.devices / name, f"/dev/{name}") for name in dict.fromkeys(names)]
    for path, place in files:
        check(path, place, user)
    return Access(tuple(files), tuple(dict.fromkeys(facts)), variables)


def nvidia_card(gpu: GPU, driver: Driver) -> tuple[str, str]:
    """Return a card's device file and its UUID; ``nvidia-smi`` counts in the order of PCI addresses."""
    try:
        entries = sorted(driver.nvidia.iterdir())
        information = read_text(entries[gpu.index] / "information", errors="replace")
    except (OSError, IndexError):
        return f"nvidia{gpu.index}", ""
    pairs = (line.partition(":") for line in information.splitlines())
    facts = {name.strip(): text.strip() for name, colon, text in pairs if colon}
    minor, uuid = facts.get("Device Minor", ""), facts.get("GPU UUID", "")
    number = minor if minor.isascii() and minor.isdigit() else str(gpu.index)
    return f"nvidia{number}", uuid if _UUID.fullmatch(uuid) else ""


def _nvidia_control(driver: Driver) -> list[str]:
    return [*_NVIDIA_NEEDED, *(name for name in _NVIDIA_FURTHER if (driver.devices / name).exists())]


def _render_names(gpu: GPU, driver: Driver) -> list[str]:
    names = render_nodes(gpu, driver.devices, driver.system)
    if not names:
        raise NoAccess(f"the device files of GPU {gpu.index} ({gpu.name or gpu.vendor}) are not in /dev/dri")
    return names


def _facts(gpus: Sequence[GPU], driver: Driver) -> list[Path]:
    places = [driver.system / name for name in _FACTS]
    addresses = [address for gpu in gpus if (address := pci_address(gpu))]
    cards = [driver.system / "bus/pci/devices" / address for address in addresses]
    places += [card.resolve() for card in cards]
    return [place for place in places if place.exists()]


def check(path: Path, place: str, user: int) -> None:
    """Find out whether a job's user may use a device file.

    Parameters
    ----------
    path, place
        Where it is, and what people call it.
    user
        The uid that the job becomes; -1 for the node's own.

    Raises
    ------
    NoAccess
        It is missing, or closed to that user.
    """
    if not path.exists():
        raise NoAccess(f"the device file {place} does not exist (is the GPU's driver loaded?)")
    if user >= 0:
        allowed = path.stat().st_mode & 0o006 == 0o006
        who = "the users that jobs of a node of root run as"
    else:
        allowed = os.access(path, os.R_OK | os.W_OK)
        who = "this node's user"
    if not allowed:
        raise NoAccess(f"the device file {place} is closed to {who}")

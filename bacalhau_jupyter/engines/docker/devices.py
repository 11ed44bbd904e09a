"""GPUs for a container: what the Docker Engine is asked for, by vendor.

NVIDIA's runtime takes indices; AMD's and Intel's GPUs are device files, found by their PCI address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.resources import GPU

DEVICES = Path("/dev")
COMPONENT = "Docker"
_AMD_COMPUTE = "kfd"
_LINKS = ("card", "render")


def gpu_options(gpus: list[GPU], devices: Path = DEVICES) -> dict[str, Any]:
    """Return the part of a container's ``HostConfig`` that hands it these GPUs.

    Parameters
    ----------
    gpus
        What the execution holds; NVIDIA's are counted from 0 as ``nvidia-smi`` does.
    devices
        Where device files are (``/dev``).

    Raises
    ------
    EngineError
        A GPU is of another vendor, or its device files are missing.
    """
    indices: list[str] = []
    files: list[Path] = []
    for gpu in gpus:
        match gpu.vendor.upper():
            case "NVIDIA":
                indices.append(str(gpu.index))
            case "AMD/ATI":
                files += [devices / _AMD_COMPUTE, *_render_nodes(gpu, devices)]
            case "INTEL":
                files += _render_nodes(gpu, devices)
            case _:
                raise EngineError(
                    f"the docker engine can't hand a GPU of vendor {gpu.vendor or 'unknown'} to a container",
                    fails_execution=True,
                )
    options: dict[str, Any] = {}
    if indices:
        options["DeviceRequests"] = [{"DeviceIDs": indices, "Capabilities": [["gpu"]]}]
    if files:
        options["Devices"] = [
            {"PathOnHost": str(path), "PathInContainer": str(path), "CgroupPermissions": "rwm"}
            for path in dict.fromkeys(files)
        ]
    return options


def _render_nodes(gpu: GPU, devices: Path) -> list[Path]:
    links = [devices / "dri" / "by-path" / f"pci-{gpu.pci_address.lower()}-{kind}" for kind in _LINKS]
    nodes = [link.resolve() for link in links if link.exists()]
    if not gpu.pci_address or not nodes:
        raise _no_files(gpu, devices)
    return nodes


def _no_files(gpu: GPU, devices: Path) -> EngineError:
    return EngineError(
        f"the device files of GPU {gpu.index} ({gpu.name or gpu.vendor}) are not below {devices / 'dri' / 'by-path'}",
        hint="Check that the GPU's driver is loaded on this node.",
        fails_execution=True,
        retryable=True,
    )

"""GPUs for a container: what the Docker Engine is asked for, by vendor.

NVIDIA's runtime takes indices, or the engine's own CDI the names of devices; AMD's and Intel's GPUs are device files,
found by their PCI address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.plugins.gpu_files import render_nodes

DEVICES = Path("/dev")
COMPONENT = "Docker"
_AMD_COMPUTE = "kfd"


def is_nvidia(gpu: GPU) -> bool:
    """Whether NVIDIA's runtime hands over this GPU."""
    return gpu.vendor.upper() == "NVIDIA"


def cdi_name(gpu: GPU) -> str:
    """Return the name that NVIDIA's tools give a GPU in CDI specifications."""
    return f"nvidia.com/gpu={gpu.index}"


def gpu_options(
    gpus: Sequence[GPU],
    devices: Path = DEVICES,
    *,
    cdi: Collection[str] = (),
    has_runtime: bool = True,
    there: Path | None = None,
    where: str = "",
) -> dict[str, Any]:
    """Return the part of a container's ``HostConfig`` that hands it these GPUs.

    Parameters
    ----------
    gpus
        What the execution holds; NVIDIA's are counted from 0 as ``nvidia-smi`` does.
    devices
        Where device files are (``/dev``).
    cdi
        Names of the devices that the engine knows by CDI.
    has_runtime
        Whether NVIDIA's runtime may be there; else CDI serves, if it can.
    there
        What ``devices`` stands for on the engine's machine; None where it is that directory.
    where
        What people call the engine's machine ("host gpu1"); empty for the one of this node.

    Raises
    ------
    EngineError
        A GPU is of another vendor, or its device files are missing.
    """
    nvidia: list[GPU] = []
    files: list[Path] = []
    where, shown = where or "this node", there or devices
    for gpu in gpus:
        match gpu.vendor.upper():
            case "NVIDIA":
                nvidia.append(gpu)
            case "AMD/ATI":
                files += [
                    _compute_file(gpu, devices, shown, where),
                    *_render_nodes(gpu, devices, shown, where),
                ]
            case "INTEL":
                files += _render_nodes(gpu, devices, shown, where)
            case _:
                raise EngineError(
                    f"the docker engine can't hand a GPU of vendor {gpu.vendor or 'unknown'} to a container",
                    fails_execution=True,
                )
    options: dict[str, Any] = {}
    if nvidia and not has_runtime and all(cdi_name(gpu) in cdi for gpu in nvidia):
        options["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": [cdi_name(gpu) for gpu in nvidia]}]
    elif nvidia:
        indices = [str(gpu.index) for gpu in nvidia]
        options["DeviceRequests"] = [{"DeviceIDs": indices, "Capabilities": [["gpu"]]}]
    if files:
        paths = [
            path if there is None else there / path.relative_to(devices) for path in dict.fromkeys(files)
        ]
        options["Devices"] = [
            {"PathOnHost": str(path), "PathInContainer": str(path), "CgroupPermissions": "rwm"}
            for path in paths
        ]
    return options


def _compute_file(gpu: GPU, devices: Path, shown: Path, where: str) -> Path:
    path = devices / _AMD_COMPUTE
    if not path.exists():
        raise EngineError(
            f"{shown / _AMD_COMPUTE}, which GPU {gpu.index} ({gpu.name or gpu.vendor}) needs, does not exist",
            hint=f"Check that the driver amdgpu is loaded on {where}.",
            fails_execution=True,
            retryable=True,
        )
    return path


def _render_nodes(gpu: GPU, devices: Path, shown: Path, where: str) -> list[Path]:
    nodes = [devices / name for name in render_nodes(gpu, devices)]
    if not nodes:
        raise EngineError(
            f"the device files of GPU {gpu.index} ({gpu.name or gpu.vendor}) are not below {shown / 'dri'}",
            hint=f"Check that the GPU's driver is loaded on {where}.",
            fails_execution=True,
            retryable=True,
        )
    return nodes

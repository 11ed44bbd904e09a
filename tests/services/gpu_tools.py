"""Stand-ins for the GPU vendors' tools, for hosts without GPUs."""

from __future__ import annotations

import json
from pathlib import Path

_AMD = {
    "card0": {
        "PCI Bus": "0000:E7:00.0",
        "VRAM Total Memory (B)": "68702699520",
        "Card series": "Instinct MI210",
    },
    "card1": {
        "PCI Bus": "0000:E8:00.0",
        "VRAM Total Memory (B)": "8587837440",
        "Card series": "Instinct MI100",
    },
}
_INTEL = {
    "device_id": 0,
    "device_name": "Intel Corporation Device 56c1 (rev 05)",
    "max_mem_alloc_size_byte": "4294959104",
    "memory_physical_size_byte": "5314183168",
    "pci_bdf_address": "0000:e9:00.0",
}


def tool(directory: Path, name: str, script: str) -> None:
    """Put a program into ``directory``."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def install(directory: Path, *, calls: Path = Path("/dev/null")) -> None:
    """Put tools into ``directory`` that tell of two GPUs of NVIDIA, two of AMD and one of Intel.

    ``calls`` is a file that gets the words of each call.
    """
    said = f'echo "${{0##*/}} $*" >> {calls}'
    nvidia(directory, "NVIDIA A100-SXM4-40GB, 40960", "Tesla  T4, 15360", before=said)
    tool(directory, "rocm-smi", f"{said}; echo '{json.dumps(_AMD)}'")
    listing = {"device_list": [{key: _INTEL[key] for key in ("device_id", "device_name", "pci_bdf_address")}]}
    tool(
        directory,
        "xpu-smi",
        f"{said}; case \"$*\" in *--device*) echo '{json.dumps(_INTEL)}';; *) echo '{json.dumps(listing)}';; esac",
    )


def nvidia(directory: Path, *gpus: str, before: str = "true") -> None:
    """Put an ``nvidia-smi`` into ``directory`` that tells of GPUs, each given as "name, MiB"."""
    lines = "; ".join(f"echo '{index}, {gpu}'" for index, gpu in enumerate(gpus))
    tool(directory, "nvidia-smi", f"{before}; {lines}")

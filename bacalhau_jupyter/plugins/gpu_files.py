"""Which device files belong to a GPU of AMD or Intel, found by its PCI address."""

from __future__ import annotations

import re
from pathlib import Path

from bacalhau_jupyter.models.jobs.resources import GPU

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_NODE = re.compile(r"(?:card|renderD)\d+", re.ASCII)


def pci_address(gpu: GPU) -> str:
    """Return the address as the kernel writes it; empty where there is none."""
    address = gpu.pci_address.strip().lower()
    return address if _ADDRESS.fullmatch(address) else ""


def render_nodes(gpu: GPU, devices: Path = Path("/dev"), system: Path = Path("/sys")) -> list[str]:
    """Return the names of a GPU's card and render node below ``/dev``: ``dri/card0``, ``dri/renderD128``.

    They are what udev's links say, or where there are no such links, as in many containers, what the kernel says.

    Parameters
    ----------
    devices, system
        What stands for ``/dev`` and ``/sys``.
    """
    address = pci_address(gpu)
    if not address:
        return []
    links = [devices / "dri" / "by-path" / f"pci-{address}-{kind}" for kind in ("card", "render")]
    names = [link.resolve().name for link in links if link.exists()]
    if not names:
        try:
            entries = sorted(path.name for path in (system / "bus/pci/devices" / address / "drm").iterdir())
        except OSError:
            entries = []
        names = [name for name in entries if _NODE.fullmatch(name) and (devices / "dri" / name).exists()]
    return [f"dri/{name}" for name in names]

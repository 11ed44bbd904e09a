"""A machine with two GPUs of NVIDIA, as its driver and a CDI specification of NVIDIA's tool show it."""

from __future__ import annotations

import json
import os
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.daemonless.devices.given import Machine
from bacalhau_jupyter.engines.supervised.gpus import Driver

UUIDS = ("GPU-00000000-aaaa-bbbb-cccc-0123456789ab", "GPU-00000001-aaaa-bbbb-cccc-0123456789ab")
NUMBERS = {"nvidia0": (1, 3), "nvidia1": (1, 5), "nvidiactl": (1, 8), "nvidia-uvm": (1, 7)}
"""Devices of this kernel that stand for those of the driver: they can be opened, and told apart."""
STAND_INS = {
    "nvidia0": "/dev/null",
    "nvidia1": "/dev/zero",
    "nvidiactl": "/dev/random",
    "nvidia-uvm": "/dev/full",
}
READ_ONLY = ["ro", "nosuid", "nodev", "rbind", "rprivate"]
TOOL = "/usr/bin/nvidia-cdi-hook"


def library(name: str) -> bytes:
    """Return a 64-bit ELF file with nothing but a name for the linker."""
    strings = b"\0" + name.encode() + b"\0"
    dynamic = struct.pack("<6Q", 5, 0x1000 + 64 + 2 * 56 + 48, 14, 1, 0, 0)
    size = 64 + 2 * 56 + len(dynamic) + len(strings)
    head = struct.pack("<16s2HI3QI6H", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    segments = struct.pack("<2I6Q", 1, 4, 0, 0x1000, 0x1000, size, size, 0x1000)
    segments += struct.pack("<2I6Q", 2, 4, 176, 0x1000 + 176, 0x1000 + 176, len(dynamic), len(dynamic), 8)
    return head + segments + dynamic + strings


def hook(*arguments: str) -> dict[str, Any]:
    """Return a hook of NVIDIA's tool."""
    words = ["nvidia-cdi-hook", *arguments]
    return {"hookName": "createContainer", "path": TOOL, "args": words, "env": ["NVIDIA_CTK_DEBUG=false"]}


class Fake:
    """Lies below a directory; what is changed in ``common`` or ``devices`` has to be written again.

    Parameters
    ----------
    place
        The directory.
    real
        Whether device files are of the machine's own (takes root); else they are links to this host's.
    """

    def __init__(self, place: Path, *, real: bool) -> None:
        self.place = place
        self.devices_at = place / "dev"
        self.libraries = place / "driver"
        self.machine = Machine(
            Driver(self.devices_at, place / "gpus", place / "sys"), (place / "etc-cdi", place / "run-cdi")
        )
        self.devices_at.mkdir(parents=True)
        self.libraries.mkdir()
        for directory in self.machine.specifications:
            directory.mkdir()
        for name, numbers in NUMBERS.items():
            path = self.devices_at / name
            if real:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*numbers))
                path.chmod(0o666)
            else:
                path.symlink_to(STAND_INS[name])
        for index, uuid in enumerate(UUIDS):
            card = self.machine.driver.nvidia / f"0000:0{index}:00.0"
            card.mkdir(parents=True)
            (card / "information").write_text(f"GPU UUID: \t {uuid}\nDevice Minor: \t {index}\n")
        (self.libraries / "libcuda.so.550.54").write_bytes(library("libcuda.so.1"))
        (self.libraries / "nvidia-smi").write_text("#!/bin/sh\necho smi of the driver $1\n")
        (self.libraries / "nvidia-smi").chmod(0o755)
        self.common: dict[str, Any] = {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [self.node("nvidiactl"), self.node("nvidia-uvm")],
            "mounts": [
                self.mount("libcuda.so.550.54", "/usr/lib/driver/libcuda.so.550.54"),
                self.mount("nvidia-smi", "/usr/bin/nvidia-smi"),
                {
                    "hostPath": "/run/nvidia-persistenced/socket",
                    "containerPath": "/run/nvidia-persistenced/socket",
                },
            ],
            "hooks": [
                hook("create-symlinks", "--link", "libcuda.so.1::/usr/lib/driver/libcuda.so"),
                hook("enable-cuda-compat", "--host-driver-version=550.54"),
                hook("update-ldcache", "--folder", "/usr/lib/driver"),
                hook("disable-device-node-modification"),
            ],
        }
        self.devices: dict[str, Any] = {
            str(index): {"deviceNodes": [self.node(f"nvidia{index}")]} for index in range(len(UUIDS))
        }
        self.write()

    def node(self, name: str) -> dict[str, Any]:
        """Return the entry of a device file."""
        return {"path": f"/dev/{name}", "hostPath": str(self.devices_at / name), "permissions": "rwm"}

    def mount(self, name: str, place: str) -> dict[str, Any]:
        """Return the entry of a file of the driver."""
        return {"hostPath": str(self.libraries / name), "containerPath": place, "options": READ_ONLY}

    def document(self) -> Mapping[str, Any]:
        """Return the specification."""
        devices = [{"name": name, "containerEdits": edits} for name, edits in self.devices.items()]
        return {
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": devices,
            "containerEdits": self.common,
        }

    def write(self, name: str = "nvidia.yaml", directory: int = 0) -> Path:
        """Write the specification (JSON is YAML, too)."""
        path = Path(self.machine.specifications[directory]) / name
        path.write_text(json.dumps(self.document()))
        return path

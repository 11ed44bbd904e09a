from __future__ import annotations

import json
from pathlib import Path

from bacalhau_jupyter.compute.host import gpus
from bacalhau_jupyter.compute.host.gpus import find_gpus, gpu_labels
from bacalhau_jupyter.models.resources import GPU


def tool(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_a_host_without_tools_has_no_gpus(tmp_path: Path) -> None:
    assert await find_gpus(str(tmp_path)) == []


async def test_gpus_of_all_vendors_are_found_and_numbered(tmp_path: Path) -> None:
    tool(
        tmp_path,
        "nvidia-smi",
        "echo '0, Tesla T4, 15360, 00000000:00:1E.0'; echo '1, Tesla T4, 15360, 00000000:00:1F.0'",
    )
    amd = {
        "card0": {
            "VRAM Total Memory (B)": "17163091968",
            "Card series": "AMD Instinct MI100",
            "PCI Bus": "0000:63:00.0",
        }
    }
    tool(tmp_path, "rocm-smi", f"echo '{json.dumps(amd)}'")
    listing = {"device_list": [{"device_id": 0, "device_name": "Intel Flex"}]}
    detail = {
        "device_name": "Intel Flex 170",
        "max_mem_alloc_size_byte": "1073741824",
        "pci_bdf_address": "0000:4d:00.0",
    }
    tool(
        tmp_path, "xpu-smi",
        f"case \"$*\" in *--device*) echo '{json.dumps(detail)}';; *) echo '{json.dumps(listing)}';; esac",
    )  # fmt: skip
    assert await find_gpus(str(tmp_path)) == [
        GPU(index=0, name="Tesla T4", vendor="NVIDIA", memory=15360, pci_address="00000000:00:1E.0"),
        GPU(index=1, name="Tesla T4", vendor="NVIDIA", memory=15360, pci_address="00000000:00:1F.0"),
        GPU(index=2, name="AMD Instinct MI100", vendor="AMD/ATI", memory=16368, pci_address="0000:63:00.0"),
        GPU(index=3, name="Intel Flex 170", vendor="Intel", memory=1024, pci_address="0000:4d:00.0"),
    ]


async def test_a_tool_that_fails_or_prints_nonsense_means_none(tmp_path: Path) -> None:
    tool(tmp_path, "nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")
    tool(tmp_path, "rocm-smi", "echo '{not json'")
    tool(tmp_path, "xpu-smi", "echo '[]'")
    assert await find_gpus(str(tmp_path)) == []


async def test_a_tool_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(gpus, "TOOL_S", 0.05)
    tool(tmp_path, "nvidia-smi", "exec sleep 60")
    assert await find_gpus(str(tmp_path) + ":/bin:/usr/bin") == []


def test_labels_name_each_gpu_and_its_memory() -> None:
    assert gpu_labels([GPU(index=0, name="Tesla T4", memory=15360)]) == {
        "GPU-0": "Tesla-T4",
        "GPU-0-Memory": "15360-MiB",
    }

"""Which GPUs this host has, asked of the vendors' tools. A tool that is missing or fails means none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.models.resources import GPU
from bacalhau_jupyter.models.spec import replace

_log = logging.getLogger(__name__)

TOOL_S = 10.0
"""How long a tool may take; drivers that hang are common."""

_MIB = 1024 * 1024


async def find_gpus(path: str | None = None) -> list[GPU]:
    """Ask ``nvidia-smi``, ``rocm-smi`` and ``xpu-smi``; indices count over all vendors from 0.

    Parameters
    ----------
    path
        Where to look for the tools, in the form of ``PATH``; None means this process's.
    """
    gpus_by_vendor = await asyncio.gather(_nvidia(path), _amd(path), _intel(path))
    return [
        replace(gpu, index=index) for index, gpu in enumerate(gpu for part in gpus_by_vendor for gpu in part)
    ]


def gpu_labels(gpus: list[GPU]) -> dict[str, str]:
    """Return the node labels of GPUs: ``GPU-0`` = name with dashes, ``GPU-0-Memory`` = ``15360-MiB``."""
    labels = {}
    for gpu in gpus:
        labels[f"GPU-{gpu.index}"] = re.sub(r"\s+", "-", gpu.name.strip())
        labels[f"GPU-{gpu.index}-Memory"] = f"{gpu.memory}-MiB"
    return labels


async def _nvidia(path: str | None) -> list[GPU]:
    text = await _ask(
        path,
        "nvidia-smi",
        "--query-gpu=index,gpu_name,memory.total,pci.bus_id",
        "--format=csv,noheader,nounits",
    )
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 3 and parts[0].isdigit():
            gpus.append(
                GPU(
                    index=int(parts[0]),
                    name=parts[1],
                    vendor="NVIDIA",
                    memory=int(parts[2]) if parts[2].isdigit() else 0,
                    pci_address=parts[3] if len(parts) > 3 else "",
                )
            )
    return gpus


async def _amd(path: str | None) -> list[GPU]:
    cards = _object(
        await _ask(path, "rocm-smi", "--showproductname", "--showbus", "--showmeminfo", "vram", "--json")
    )
    gpus = []
    for key, card in sorted(cards.items(), key=lambda item: (len(item[0]), item[0])):  # card2 before card10
        if not key.startswith("card") or not isinstance(card, Mapping):
            continue
        gpus.append(
            GPU(
                name=str(card.get("Card series") or card.get("Card Series") or card.get("Card model") or key),
                vendor="AMD/ATI",
                memory=_number(card.get("VRAM Total Memory (B)")) // _MIB,
                pci_address=str(card.get("PCI Bus") or ""),
            )
        )
    return gpus


async def _intel(path: str | None) -> list[GPU]:
    listing = _object(await _ask(path, "xpu-smi", "discovery", "--json")).get("device_list")
    gpus = []
    for device in listing if isinstance(listing, list) else []:
        number = str(device.get("device_id", "")) if isinstance(device, Mapping) else ""
        if not number.isdigit():
            continue
        detail = _object(await _ask(path, "xpu-smi", "discovery", "--device", number, "--json"))
        gpus.append(
            GPU(
                name=str(detail.get("device_name") or device.get("device_name") or ""),
                vendor="Intel",
                memory=_number(
                    detail.get("max_mem_alloc_size_byte") or detail.get("memory_physical_size_byte")
                )
                // _MIB,
                pci_address=str(detail.get("pci_bdf_address") or device.get("pci_bdf_address") or ""),
            )
        )
    return gpus


async def _ask(path: str | None, tool: str, *arguments: str) -> str:
    """Return what a tool prints; empty when it is missing, fails or hangs."""
    executable = shutil.which(tool, path=path)
    if executable is None:
        return ""
    process: asyncio.subprocess.Process | None = None
    try:
        process = await asyncio.create_subprocess_exec(
            executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(TOOL_S):
            printed, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        _log.debug("%s did not answer: %s", tool, error)
        return ""
    finally:
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return printed.decode(errors="replace") if process.returncode == 0 else ""


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    text = str(value or "").strip()
    return int(text) if text.isdigit() else 0

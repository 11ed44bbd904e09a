"""Which GPUs this host has, asked of the vendors' tools.

The calls are those of an official node, so that a tool (or a stand-in for one) that works there works here. Nothing
that a tool does keeps a node from starting: it may be missing, fail, hang, print without end or print nonsense.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.text import readable

TOOL_S = 10.0
"""How long a tool may take; drivers that hang are common."""
NVIDIA, AMD, INTEL = "NVIDIA", "AMD/ATI", "Intel"

MOST_GPUS = 256
"""GPUs of one machine; a tool that names more prints nonsense."""
_NAME_LIMIT, _LINE_LIMIT = 200, 10_000
_MOST_MIB = 1 << 31
_MIB = 1024 * 1024
_PRINTED_LIMIT = 4 * _MIB
_SAID_LIMIT = 200
NVIDIA_CALL = ("--query-gpu=index,gpu_name,memory.total", "--format=csv,noheader,nounits")
AMD_CALL = ("--showproductname", "--showbus", "--showmeminfo", "vram", "--json")
INTEL_CALL = ("discovery", "--json")
_CARD = re.compile(r"card(\d{1,4})", re.ASCII)
NOTHING_THERE = "no devices were found"


class ToolFailed(Exception):
    """A tool that is there gave no answer; the text says why."""


@dataclass(frozen=True)
class HostGpus:
    """What the tools say.

    Attributes
    ----------
    gpus
        By vendor, then by the vendor's own index.
    problems
        Why a tool that is there can't say anything, by its name.
    """

    gpus: list[GPU] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


Ask = Callable[..., Awaitable[str]]
"""Returns what a tool prints, called with its name and arguments; raises `ToolFailed`."""


async def find_gpus(path: str | None = None) -> HostGpus:
    """Ask ``nvidia-smi``, ``rocm-smi`` and ``xpu-smi`` of this host.

    Parameters
    ----------
    path
        Where to look for the tools, in the form of ``PATH``; None means this process's.
    """
    return await gpus_told(partial(_ask, path))


async def gpus_told(ask: Ask) -> HostGpus:
    """Return what the vendors' tools say, wherever they are asked."""
    tools = {"nvidia-smi": _nvidia, "rocm-smi": _amd, "xpu-smi": _intel}
    answers = await asyncio.gather(*(read(ask) for read in tools.values()), return_exceptions=True)
    gpus, problems = list[GPU](), dict[str, str]()
    for name, answer in zip(tools, answers, strict=True):
        if isinstance(answer, ToolFailed):
            problems[name] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            gpus += answer
    return HostGpus(gpus, problems)


def gpu_labels(gpus: list[GPU]) -> dict[str, str]:
    """Return the node labels of GPUs, counted over all vendors, as official nodes write them.

    ``GPU-0`` is the name with dashes, ``GPU-0-Memory`` is ``15360-MiB``; a memory that the tool does not tell has none.
    """
    labels = {}
    for position, gpu in enumerate(gpus):
        labels[f"GPU-{position}"] = gpu.name.replace(" ", "-")
        if gpu.memory:
            labels[f"GPU-{position}-Memory"] = f"{gpu.memory}-MiB"
    return labels


async def _nvidia(ask: Ask) -> list[GPU]:
    text = await ask("nvidia-smi", *NVIDIA_CALL)
    gpus = []
    # A longer line is more than the reader takes, and no GPU.
    lines = [line for line in text.splitlines() if len(line) < _LINE_LIMIT]
    for parts in csv.reader(lines, skipinitialspace=True):
        if len(parts) >= 3 and (index := _number(parts[0])) is not None:
            memory = _number(parts[2]) or 0
            gpus.append(GPU(index=index, name=parts[1].strip(), vendor=NVIDIA, memory=memory))
    if not gpus and text.strip():
        raise ToolFailed(f"it printed what is no list of GPUs: {_said(text)}")
    return _by_index(gpus)


async def _amd(ask: Ask) -> list[GPU]:
    cards = _object(await ask("rocm-smi", *AMD_CALL))
    gpus = []
    for key, card in cards.items():
        match = _CARD.fullmatch(key)
        if match is None or not isinstance(card, Mapping):
            continue
        name = card.get("Card series") or card.get("Card Series") or card.get("Card model") or key
        gpus.append(
            GPU(
                index=int(match[1]),
                name=str(name),
                vendor=AMD,
                memory=(_number(card.get("VRAM Total Memory (B)")) or 0) // _MIB,
                pci_address=str(card.get("PCI Bus") or "").lower(),
            )
        )
    return _by_index(gpus)


async def _intel(ask: Ask) -> list[GPU]:
    listing = _object(await ask("xpu-smi", *INTEL_CALL)).get("device_list")
    gpus = []
    for device in listing if isinstance(listing, list) else []:
        index = _number(device.get("device_id")) if isinstance(device, Mapping) else None
        if index is None:
            continue
        try:
            detail = _object(await ask("xpu-smi", *INTEL_CALL, "--device", str(index)))
        except ToolFailed:
            detail = {}
        memory = _number(detail.get("memory_physical_size_byte")) or _number(
            detail.get("max_mem_alloc_size_byte")
        )
        gpus.append(
            GPU(
                index=index,
                name=str(detail.get("device_name") or device.get("device_name") or ""),
                vendor=INTEL,
                memory=(memory or 0) // _MIB,
                pci_address=str(detail.get("pci_bdf_address") or device.get("pci_bdf_address") or ""),
            )
        )
    return _by_index(gpus)


def _by_index(gpus: list[GPU]) -> list[GPU]:
    """Sort, and keep one of those that claim the same index: nothing is granted twice."""
    by_index = {gpu.index: gpu for gpu in reversed(gpus)}
    return [_bounded(by_index[index]) for index in sorted(by_index)[:MOST_GPUS]]


def _bounded(gpu: GPU) -> GPU:
    name, address = readable(gpu.name[:_NAME_LIMIT])[:_NAME_LIMIT], readable(gpu.pci_address[:60])[:60]
    return replace(gpu, name=name, pci_address=address, memory=min(gpu.memory, _MOST_MIB))


async def _ask(path: str | None, tool: str, *arguments: str) -> str:
    """Return what a tool prints; empty when it is missing or knows of no device.

    Raises
    ------
    ToolFailed
        It is there and fails, hangs or prints without end.
    """
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
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        async with asyncio.timeout(TOOL_S):
            printed = await _read(process)
            code = await process.wait()
    except TimeoutError as error:
        raise ToolFailed(f"it did not answer within {TOOL_S:g}s") from error
    except OSError as error:
        raise ToolFailed(f"it can't be run: {error.strerror}") from error
    finally:
        if process is not None:
            await end(process, is_group=True)
    text = printed.decode(errors="replace")
    if NOTHING_THERE in text.lower():
        return ""
    if code != 0:
        raise ToolFailed(f"it failed with exit code {code}: {_said(text)}")
    return text


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    printed = b""
    while more := await process.stdout.read(65536):
        printed += more
        if len(printed) > _PRINTED_LIMIT:
            raise ToolFailed("it prints without end")
    return printed


def _object(text: str) -> dict[str, Any]:
    """Read a JSON object; tools may print warnings in lines before it.

    Raises
    ------
    ToolFailed
        It is not a JSON object.
    """
    if not text.strip():
        return {}
    start = re.search(r"^\s*\{", text, re.MULTILINE)
    try:
        answer, _ = json.JSONDecoder().raw_decode(text, text.index("{", start.start()) if start else 0)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ToolFailed(f"it printed what is no JSON object: {_said(text)}")
    return answer


def _said(text: str) -> str:
    return readable(" ".join(text.split()))[:_SAID_LIMIT] or "nothing"


def _number(value: object) -> int | None:
    text = str(value).strip() if isinstance(value, (int, str)) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

"""What others hold of a machine elsewhere, read from descriptions of its containers; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bacalhau_jupyter.compute.host.gpus import MOST_GPUS, NVIDIA
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.records.hosts import HostUser
from bacalhau_jupyter.models.told import items, mapping, mappings, number, words
from bacalhau_jupyter.plugins.gpu_files import pci_address

LABEL_NODE = "bacalhau-executor"
"""The label by which a node knows its containers."""
LABEL_OWNER = "bacalhau-owner"
"""The label that says whose node that is."""
_MOST = 200


def users_of(
    containers: Iterable[Mapping[str, Any]],
    node_id: str,
    gpus: Sequence[GPU],
    device_files: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[list[HostUser], set[tuple[str, int]]]:
    """Return the containers that run and are not a node's own, and the GPUs that its own ones hold.

    Parameters
    ----------
    containers
        What the Docker Engine says of each (``docker inspect``).
    gpus
        The machine's GPUs.
    device_files
        Names of files below ``/dev``, by the PCI address of their GPU.
    """
    by_file = _by_file(gpus, device_files)
    others, own = list[HostUser](), set[tuple[str, int]]()
    for container in containers:
        described, limits = mapping(container.get("Config")), mapping(container.get("HostConfig"))
        held = _gpus(limits, gpus, by_file)
        labels = mapping(described.get("Labels"))
        if labels.get(LABEL_NODE) == node_id:
            own |= {gpu.key for gpu in held}
            continue
        resources = Resources(
            cpu=number(limits.get("NanoCpus")) / 1e9,
            memory=number(limits.get("Memory")),
            gpu=len(held),
            gpus=held,
        )
        name = words(container.get("Name")).removeprefix("/")
        if len(others) < _MOST:
            image, owner = words(described.get("Image")), words(labels.get(LABEL_OWNER))
            others.append(HostUser(name=name, owner=owner, image=image, resources=resources))
    return others, own


def taken_by(
    others: Sequence[HostUser], own: set[tuple[str, int]], busy: set[int], gpus: Sequence[GPU]
) -> Resources:
    """Return what others hold: their explicit limits, and each GPU that they were given or whose memory they use.

    Parameters
    ----------
    own
        GPUs of the node's own containers.
    busy
        Indices of NVIDIA's GPUs of which a program uses memory.
    """
    keys = {gpu.key for user in others for gpu in user.resources.gpus} | {(NVIDIA, index) for index in busy}
    held = [gpu for gpu in gpus if gpu.key in keys - own]
    return Resources(
        cpu=round(sum(user.resources.cpu for user in others), 3),
        memory=sum(user.resources.memory for user in others),
        gpu=len(held),
        gpus=held,
    )


def _by_file(gpus: Sequence[GPU], device_files: Mapping[str, Sequence[str]]) -> dict[str, GPU]:
    """Return the GPUs by the paths of their own device files; what all of a vendor's need belongs to none."""
    return {f"/dev/{name}": gpu for gpu in gpus for name in device_files.get(pci_address(gpu), ())}


def _gpus(limits: Mapping[str, Any], gpus: Sequence[GPU], by_file: Mapping[str, GPU]) -> list[GPU]:
    """Return the GPUs that a container was given; who asks for a number of them gets the first ones."""
    nvidia = [gpu for gpu in gpus if gpu.vendor == NVIDIA]
    held: dict[tuple[str, int], GPU] = {}
    for request in mappings(limits.get("DeviceRequests"), MOST_GPUS):
        named = [words(each).rpartition("=")[2] for each in items(request.get("DeviceIDs"), MOST_GPUS)]
        count = request.get("Count")
        if named:
            chosen = nvidia if "all" in named else [gpu for gpu in nvidia if str(gpu.index) in named]
        elif isinstance(count, int):
            chosen = nvidia if count < 0 else nvidia[:count]
        else:
            chosen = []
        held.update((gpu.key, gpu) for gpu in chosen)
    # Card and render node of each, and what an engine may be given besides.
    for device in mappings(limits.get("Devices"), 4 * MOST_GPUS):
        if (file_of := by_file.get(words(device.get("PathOnHost")))) is not None:
            held[file_of.key] = file_of
    return list(held.values())

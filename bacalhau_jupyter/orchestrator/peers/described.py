"""Whether a node's description of itself can be kept and shown: its ID, texts and amounts."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping

from bacalhau_jupyter.lib.times import ZERO_TIME, parse_rfc3339
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.text import is_readable, readable
from bacalhau_jupyter.transport import node_ids

SIZE_LIMIT = 256 * 1024
"""Most bytes of a description."""
NAMES_LIMIT = 500
"""Most labels, engines, publishers, sources or features."""
NAME_LIMIT = 200
"""Most characters of such a name."""
LABEL_LIMIT = 1000
"""Most characters of a label's value."""
CPU_LIMIT, BYTES_LIMIT, GPU_LIMIT = 1e6, 1 << 60, 100_000
"""Most that a node may say it has."""

_OLDEST = (1, 6)
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.")


def problem_of(info: NodeInfo) -> str:
    """Say why a description can't be taken, in one sentence without the node's own invisible characters; or empty."""
    return (
        node_ids.problem_of(info.node_id)
        or _size_problem(info)
        or _names_problem("label", info.labels)
        or _labels_problem(info.labels)
        or _lists_problem(info)
        or _amounts_problem(info)
    )


def resources_problem(what: str, resources: Resources) -> str:
    """Say why an amount can't be a node's; empty if it can."""
    amounts = {
        "CPU": (resources.cpu, CPU_LIMIT),
        "memory": (resources.memory, BYTES_LIMIT),
        "disk": (resources.disk, BYTES_LIMIT),
        "GPU": (max(resources.gpu, len(resources.gpus)), GPU_LIMIT),
    }
    if resources.gpu < 0:
        return f"the node's {what} has a negative number of GPUs"
    for name, (amount, most) in amounts.items():
        if not math.isfinite(amount) or not 0 <= amount <= most:
            return f"the node's {what} has an amount of {name} that can't be: {str(amount)[:40]}"
    # Heartbeats bring them, too, and are not measured as a whole.
    columns = zip(*((gpu.name, gpu.vendor, gpu.pci_address) for gpu in resources.gpus), strict=True)
    return next((problem for column in columns if (problem := _names_problem("GPU", column))), "")


def too_old(info: NodeInfo) -> str:
    """Say why a node's version can't get jobs; empty if it can, or its version is not known."""
    return _too_old(info.bacalhau_version.git_version, tuple(info.supported_protocols or ()))


@functools.lru_cache(maxsize=256)
def _too_old(version_text: str, protocol_names: tuple[str, ...]) -> str:
    protocols = {name.strip().lower() for name in protocol_names}
    text = readable(version_text)[:40]
    match = _VERSION.match(text)
    version = (int(match[1]), int(match[2])) if match else None
    # Builds without a release are called v0.0.0.
    is_old = version is not None and (0, 0) < version < _OLDEST
    if is_old or (protocols and "ncl/v1" not in protocols):
        return f"its version{f' {text}' if text else ''} is too old to get jobs here; v1.6.0 or later does"
    return ""


def is_ours(info: NodeInfo) -> bool:
    """Whether a node is one of this project."""
    return bool(info.jupyter_version)


def started_ns(start_time: str) -> int:
    """Return when a node says that it started (Unix nanoseconds by its clock); 0 if it does not say."""
    try:
        return 0 if start_time in ("", ZERO_TIME) else max(0, parse_rfc3339(start_time))
    except (ValueError, OverflowError):
        return 0


def _size_problem(info: NodeInfo) -> str:
    size = len(encode(info))
    return (
        ""
        if size <= SIZE_LIMIT
        else f"the node's description has {size:,} bytes, and {SIZE_LIMIT:,} are the most"
    )


def _labels_problem(labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        if len(value) > LABEL_LIMIT:
            return (
                f"the label {readable(name)} has {len(value):,} characters, and {LABEL_LIMIT:,} are the most"
            )
        if not is_readable(value):
            return f"the label {readable(name)} holds an invisible character: {readable(value)[:NAME_LIMIT]}"
    return ""


def _lists_problem(info: NodeInfo) -> str:
    compute = info.compute_node_info
    version = info.bacalhau_version
    lists: dict[str, Iterable[str]] = {
        "engine": compute.execution_engines or (),
        "publisher": compute.publishers or (),
        "input source": compute.storage_sources or (),
        "protocol": info.supported_protocols or (),
        "feature": info.features,
        "version": (
            version.git_version,
            version.git_commit,
            info.jupyter_version,
            version.major,
            version.minor,
        ),
        "platform": (version.goos, version.goarch),
    }
    return next((problem for what, names in lists.items() if (problem := _names_problem(what, names))), "")


def _names_problem(what: str, names: Iterable[str]) -> str:
    named = list(names)
    if len(named) > NAMES_LIMIT:
        return f"the node has {len(named):,} {what}s, and {NAMES_LIMIT} are the most"
    for name in named:
        if len(name) > NAME_LIMIT:
            return f"the name of a {what} has {len(name):,} characters, and {NAME_LIMIT} are the most"
        if not is_readable(name):
            return f"the name of a {what} holds an invisible character: {readable(name)}"
    return ""


def _amounts_problem(info: NodeInfo) -> str:
    compute = info.compute_node_info
    amounts = {
        "capacity": compute.max_capacity,
        "queue": compute.queue_capacity,
        "free capacity": compute.available_capacity,
        "limit per job": compute.max_job_requirements,
    }
    return next(
        (problem for what, amount in amounts.items() if (problem := resources_problem(what, amount))), ""
    )

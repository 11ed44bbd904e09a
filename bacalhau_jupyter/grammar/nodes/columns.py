"""The columns of ``node list``, in the official groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bacalhau_jupyter.grammar.links import link_of, reason_of, since_of
from bacalhau_jupyter.grammar.output import Table
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.node import NodeInfo, NodeState, NodeType, for_people
from bacalhau_jupyter.models.text import readable

Column = tuple[str, Callable[[NodeInfo], object]]
LinkColumn = tuple[str, Callable[[NodeState], object]]


def _share(free: object, most: object) -> str:
    return f"{free} / {most}"


def _gigabytes(free: int, most: int) -> str:
    return _share(f"{free / 1e9:.1f}", f"{most / 1e9:.1f} GB")


def _gpus(free: Resources, most: Resources) -> str:
    """Write how many GPUs are free of how many, and which they are: ``1 / 2 (2 × Tesla T4 16 GB)``."""
    kinds = Counter(
        " ".join(filter(None, (gpu.name or gpu.vendor, format_bytes(gpu.memory << 20) if gpu.memory else "")))
        for gpu in most.gpus
    )
    models = ", ".join(f"{count} × {kind or 'GPU'}" for kind, count in kinds.items())
    return _share(free.gpu, most.gpu) + (f" ({readable(models)})" if models else "")


NODE_COLUMNS: Mapping[str, Sequence[Column]] = {
    "labels": (
        ("labels", lambda info: " ".join(sorted(f"{key}={text}" for key, text in info.labels.items()))),
    ),
    "version": (
        ("version", lambda info: info.bacalhau_version.git_version),
        ("architecture", lambda info: info.bacalhau_version.goarch),
        ("os", lambda info: info.bacalhau_version.goos),
    ),
    "features": (
        ("engines", lambda info: " ".join(for_people(info.compute_node_info.execution_engines or []))),
        ("inputs from", lambda info: " ".join(info.compute_node_info.storage_sources or [])),
        ("outputs", lambda info: " ".join(for_people(info.compute_node_info.publishers or []))),
    ),
    "capacity": (
        ("cpu", lambda info: _share(f"{_free(info).cpu:.1f}", f"{_most(info).cpu:.1f}")),
        ("memory", lambda info: _gigabytes(_free(info).memory, _most(info).memory)),
        ("disk", lambda info: _gigabytes(_free(info).disk, _most(info).disk)),
        ("gpu", lambda info: _gpus(_free(info), _most(info))),
    ),
}
"""Columns of ``node list`` by the official names of their groups."""

LINK = "link"
"""A group of ours: what a node runs, and how it is connected."""
_LINK_COLUMNS: Sequence[LinkColumn] = (
    ("kind", lambda node: node.info.kind),
    ("release", lambda node: node.info.software_version),
    ("link", link_of),
    ("since", since_of),
    ("note", reason_of),
)

SHOWN_OF_NODES = ("labels", "capacity")


def _free(info: NodeInfo) -> Resources:
    return info.compute_node_info.available_capacity


def _most(info: NodeInfo) -> Resources:
    return info.compute_node_info.max_capacity


def _cell(info: NodeInfo, name: str, value_of: Callable[[NodeInfo], object]) -> object:
    """Return a cell of the table; a node that runs no jobs has no capacity to show."""
    runs_no_jobs = info.node_type is not NodeType.COMPUTE
    is_capacity = any(name == column for column, _ in NODE_COLUMNS["capacity"])
    return "" if runs_no_jobs and is_capacity else value_of(info)


def is_telling(nodes: Sequence[NodeState]) -> bool:
    """Whether nodes differ in what they run or how they are linked, or there is something to know about one."""
    return (
        any(map(reason_of, nodes))
        or len({(node.info.kind, node.info.software_version, node.link) for node in nodes}) > 1
    )


def nodes_table(
    nodes: Sequence[NodeState], *, wide: bool = False, groups: Sequence[str] = SHOWN_OF_NODES
) -> Table:
    """List nodes, with the columns of some groups (`NODE_COLUMNS`, `LINK`); a mixed cluster tells its links, too."""
    columns = [column for group in groups if group != LINK for column in NODE_COLUMNS[group]]
    links = _LINK_COLUMNS if wide or LINK in groups or is_telling(nodes) else ()
    # A column of nothing is of no use: official clusters tell no link, and nobody may be lost.
    links = [column for column in links if any(column[1](node) for node in nodes)]
    rows = [
        (
            node.info.node_id if wide else short_id(node.info.node_id),
            node.info.node_type.value,
            node.membership.value,
            node.connection.value,
            *(_cell(node.info, name, value_of) for name, value_of in columns),
            *(value_of(node) for _, value_of in links),
        )
        for node in nodes
    ]
    # Programs that read the table expect the official columns where they always were.
    names = ("id", "type", "approval", "status", *(name for name, _ in columns), *(name for name, _ in links))
    return Table(names, rows, list(nodes))

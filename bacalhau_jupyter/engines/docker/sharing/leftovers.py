"""What nodes have on an engine: for people who want to see it, and to remove what dead nodes left. It blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.params import LABEL_EXECUTION, LABEL_NODE
from bacalhau_jupyter.engines.docker.sharing.owners import LABEL_CREATED, LABEL_OWNER
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339


@dataclass(frozen=True)
class Leftover:
    """A container or a volume of a node.

    Attributes
    ----------
    owner
        Whose it is (``ann@laptop``); empty for nodes that do not say.
    created_ns
        Unix nanoseconds; 0 where that is not known.
    """

    kind: Literal["container", "volume"]
    id: str
    name: str
    node_id: str
    execution_id: str
    owner: str
    created_ns: int
    running: bool = False


def left_behind(daemon: Daemon) -> list[Leftover]:
    """Return what nodes have there, whichever they are; official nodes use the same labels."""
    return [_container(item) for item in daemon.labelled_containers(LABEL_NODE)] + [
        _volume(item) for item in daemon.labelled_volumes(LABEL_NODE)
    ]


def remove_left(daemon: Daemon, leftovers: Iterable[Leftover]) -> None:
    """Remove it, containers first: a volume can't go while a container has it."""
    for leftover in sorted(leftovers, key=lambda each: each.kind):
        if leftover.kind == "container":
            daemon.remove(leftover.id)
        else:
            daemon.remove_volume(leftover.id)


def _container(item: Mapping[str, Any]) -> Leftover:
    labels = item.get("Labels") or {}
    name = str((item.get("Names") or [""])[0]).lstrip("/")
    created_ns = _created(labels) or int(item.get("Created") or 0) * SECOND
    is_running = str(item.get("State", "")) in ("running", "paused", "restarting")
    return Leftover("container", str(item["Id"]), name, *_who(labels), created_ns, is_running)


def _volume(item: Mapping[str, Any]) -> Leftover:
    labels, name = item.get("Labels") or {}, str(item["Name"])
    created_ns = _created(labels) or _time(str(item.get("CreatedAt", "")))
    return Leftover("volume", name, name, *_who(labels), created_ns)


def _who(labels: Mapping[str, Any]) -> tuple[str, str, str]:
    node_id = str(labels.get(LABEL_NODE, ""))
    execution_id = str(labels.get(LABEL_EXECUTION, "")).removeprefix(node_id)
    return node_id, execution_id, str(labels.get(LABEL_OWNER, ""))


def _created(labels: Mapping[str, Any]) -> int:
    return _time(str(labels.get(LABEL_CREATED, "")))


def _time(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return 0

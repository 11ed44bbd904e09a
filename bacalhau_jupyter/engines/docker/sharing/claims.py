"""GPUs that two nodes on one engine have granted at the same time: the container that was made later gives way.

An engine reserves no GPU. Each node makes its container, looks then at those of other nodes, and only then starts it:
of two that clash, the later one sees the other. What is no node's container is not looked at: a monitor may hold all
GPUs for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.engines.docker.sharing.owners import LABEL_OWNER
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.errors import CAPACITY, EngineError

ALL = "all"
ABANDONED_S = 3600.0
"""Seconds after which a container that was made and never started claims nothing any more: its node has died."""
_AT_WORK = ("running", "paused", "restarting")
_SHARED_FILES = ("/dev/kfd",)


def claims(inspection: Mapping[str, Any]) -> frozenset[str]:
    """Return the GPUs that a container has been given: ``nvidia:0``, device files, `ALL`."""
    host = inspection.get("HostConfig") or {}
    names = set[str]()
    for request in host.get("DeviceRequests") or ():
        identifiers = [str(each).rpartition("=")[2] for each in request.get("DeviceIDs") or ()]
        names |= {f"nvidia:{each}" for each in identifiers if each != ALL}
        if ALL in identifiers or int(request.get("Count") or 0) != 0:
            # Which ones the engine takes for a count is not told.
            names.add(ALL)
    for device in host.get("Devices") or ():
        path = str(device.get("PathOnHost", ""))
        if path.startswith("/dev/") and path not in _SHARED_FILES:
            names.add(path)
    return frozenset(names)


def rival(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return a container of another node that has one of the same GPUs and was made before; None where none has."""
    mine, node_id = claims(own), _labels(own).get(LABEL_NODE)
    made_ns = _made_ns(own)
    for other in others:
        other_node, theirs = _labels(other).get(LABEL_NODE), claims(other)
        if not other_node or other_node == node_id or not theirs:
            continue
        overlaps = bool(mine & theirs) or (ALL in mine | theirs)
        status, age_ns = str((other.get("State") or {}).get("Status", "")), made_ns - _made_ns(other)
        is_live = status in _AT_WORK or (status == "created" and age_ns < ABANDONED_S * SECOND)
        is_older = (age_ns, str(own.get("Id", ""))) > (0, str(other.get("Id", "")))
        if overlaps and is_live and is_older:
            return other
    return None


def check_claims(daemon: Daemon, container: str) -> None:
    """Make sure that no other node has given a container's GPUs to a job; blocks.

    Raises
    ------
    EngineError
        One has, before us: the container must not start.
    """
    own = daemon.inspect(container)
    if own is None or not claims(own):
        return
    names = [str(item["Id"]) for item in daemon.labelled_containers(LABEL_NODE)]
    others = [other for name in names if (other := daemon.inspect(name)) is not None]
    if (taken_by := rival(own, others)) is not None:
        raise _taken(daemon, taken_by)


def _taken(daemon: Daemon, other: Mapping[str, Any]) -> EngineError:
    labels = _labels(other)
    whose = labels.get(LABEL_OWNER) or f"node {labels.get(LABEL_NODE)}"
    where = f" of {daemon.endpoint.shown}" if daemon.endpoint.shown else ""
    return engine_error(
        f"this GPU{where} was given to a job of {whose} at the same time",
        hint="The job waits until that one has ended, unless another node takes it.",
        code="GPUTaken",
        retryable=True,
        details={CAPACITY: "true"},
    )


def _labels(inspection: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = (inspection.get("Config") or {}).get("Labels") or {}
    return labels


def _made_ns(inspection: Mapping[str, Any]) -> int:
    try:
        return parse_rfc3339(str(inspection.get("Created", "")))
    except ValueError:
        return 0

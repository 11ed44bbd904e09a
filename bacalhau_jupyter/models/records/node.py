"""Nodes: what they offer and how they are connected."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.resources import Resources

NOOP = "noop"
"""The engine and the publisher that do nothing: for tests and measurements, so they are offered to nobody."""


def for_people(names: Iterable[str]) -> list[str]:
    """Return the names of engines or publishers that people choose from, in order."""
    return sorted(name for name in names if name != NOOP)


class NodeType(enum.Enum):
    """A node that runs jobs, or one that only places them."""

    REQUESTER = "Requester"
    COMPUTE = "Compute"

    @classmethod
    def _missing_(cls, value: object) -> NodeType | None:
        text = str(value).lower()
        return next((member for member in cls if member.value.lower() == text), None)


class Membership(enum.Enum):
    """Whether the orchestrator lets the node run jobs."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"

    @classmethod
    def _missing_(cls, value: object) -> Membership:
        return cls.UNKNOWN


class NodeConnection(enum.Enum):
    """Whether the orchestrator hears from the node."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTED = "CONNECTED"

    @classmethod
    def _missing_(cls, value: object) -> NodeConnection:
        return cls.DISCONNECTED


class BuildVersionInfo(Wire):
    """Software version, in the form Go's build information has."""

    major: str = ""
    minor: str = ""
    git_version: str = always("")
    git_commit: str = always("")
    build_date: str = always(ZERO_TIME)
    goos: str = always("", name="GOOS")
    goarch: str = always("", name="GOARCH")


class DiskUsage(Wire):
    """What is kept on a node's disk (an addition of ours). Zeroes are left out; sizes are in bytes.

    ``bytes`` is counted once for what several executions share; ``limit`` 0 means none. ``hits``, ``misses`` and
    ``hit_bytes`` count since the node's start how often, and with how much, a cache saved a transfer.
    """

    bytes: int = always(0)
    count: int = always(0)
    limit: int = always(0)
    hits: int = 0
    misses: int = 0
    hit_bytes: int = 0


class ComputeNodeInfo(Wire):
    """What a compute node can run and how much of it."""

    execution_engines: list[str] | None = always(None)
    publishers: list[str] | None = always(None)
    storage_sources: list[str] | None = always(None)
    max_capacity: Resources = always(Resources())
    queue_capacity: Resources = always(Resources())
    available_capacity: Resources = always(Resources())
    max_job_requirements: Resources = always(Resources())
    running_executions: int = always(0)
    enqueued_executions: int = always(0)
    address: str = always("", name="address")
    # Additions of ours, left out when empty: which runtime serves each engine ("process": "bubblewrap 0.11.0")
    # and why an engine is off.
    engine_runtimes: dict[str, str] = {}
    engine_problems: dict[str, str] = {}
    # Likewise: why the node takes nothing new at present, though it may do so again by itself (its machine is away).
    unavailable: str = ""
    # Likewise: whether its machine can't be reached, so that how its tasks end is known only when it answers again.
    away: bool = False
    # Likewise: why a vendor's tool can't tell of GPUs here, or an engine can't give jobs one, by its name.
    gpu_problems: dict[str, str] = {}
    # Likewise: what work in the background can't do, and why ("removing old results": "…").
    problems: dict[str, str] = {}
    # Additions of ours, left out where there are none: inputs kept to be shared, and published results, on its disk.
    input_cache: DiskUsage | None = None
    local_results: DiskUsage | None = None


OFFER_PATH = "/api/v1/agent/offer"
"""Where a node says what it offers to jobs (an addition of ours), to everybody whom it knows."""


class NodeInfo(Wire):
    """A node's own description of itself."""

    node_id: str = always("")
    node_type: NodeType = always(NodeType.COMPUTE)
    labels: dict[str, str] = always({})
    supported_protocols: list[str] | None = always(None)
    compute_node_info: ComputeNodeInfo = always(ComputeNodeInfo())
    bacalhau_version: BuildVersionInfo = always(BuildVersionInfo())
    # Additions of ours, left out when empty: feature names a client may rely on, and our own version.
    features: list[str] = []
    jupyter_version: str = ""
    uploads: DiskUsage | None = None
    packages: DiskUsage | None = None
    images: DiskUsage | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the node runs bacalhau-jupyter, not official Bacalhau."""
        return bool(self.jupyter_version)

    @property
    def kind(self) -> str:
        """What the node runs, in a word."""
        return "bacalhau-jupyter" if self.is_ours else "official"

    @property
    def software_version(self) -> str:
        """The version of what the node runs."""
        return self.jupyter_version or self.bacalhau_version.git_version

    def offer(self) -> NodeInfo:
        """Return what those need who submit and watch jobs: kinds and features, nothing about the machine."""
        return NodeInfo(
            node_type=self.node_type,
            compute_node_info=ComputeNodeInfo(
                execution_engines=self.compute_node_info.execution_engines,
                publishers=self.compute_node_info.publishers,
                storage_sources=self.compute_node_info.storage_sources,
            ),
            bacalhau_version=self.bacalhau_version,
            features=self.features,
            jupyter_version=self.jupyter_version,
        )


class ConnectionState(Wire):
    """Since when, and up to which message, a node is connected. Times are RFC 3339."""

    status: NodeConnection = always(NodeConnection.DISCONNECTED)
    last_heartbeat: str = always(ZERO_TIME)
    last_compute_seq_num: int = always(0)
    last_orchestrator_seq_num: int = always(0)
    connected_since: str = always(ZERO_TIME)
    disconnected_since: str = always(ZERO_TIME)
    last_error: str = ""


class NodeState(Wire):
    """A node as the orchestrator sees it.

    Ours, left out when empty: ``notices``, what the operator should know about it, a sentence each, and ``link``,
    how messages get to it (``memory``, ``nats``).
    """

    info: NodeInfo = always(NodeInfo())
    membership: Membership = always(Membership.UNKNOWN)
    connection: NodeConnection = always(NodeConnection.DISCONNECTED)
    connection_state: ConnectionState = always(ConnectionState())
    notices: list[str] = []
    link: str = ""

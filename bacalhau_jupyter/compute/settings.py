"""Settings of the compute role; the node fills them in from its configuration."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.compute.host.capacity import DEFAULT_ALLOCATION
from bacalhau_jupyter.compute.host.ports import FIRST, LAST
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.node import BuildVersionInfo

HOUR = 3600.0
THIS_NODE = "this node"
"""What a node calls itself where it refuses something; that of a Docker host uses the host's name."""


class Locality(enum.Enum):
    """Where the inputs of an accepted job may lie."""

    ANYWHERE = "anywhere"
    LOCAL = "local"

    @classmethod
    def _missing_(cls, value: object) -> Locality | None:
        text = str(value).lower()
        return next((member for member in cls if member.value == text), None)


ANY = ResourcesConfig()
"""No limit."""


@dataclass(frozen=True)
class AdmissionSettings:
    """Which jobs the node takes (``JobAdmissionControl.*``).

    Attributes
    ----------
    probe_exec
        Shell command that decides: the job's JSON on stdin, exit 0 accepts, stderr is the reason.
    probe_http
        URL that decides: the same JSON is posted, an answer below 400 accepts.
    max_resources
        Most that one job may ask for: amounts, or shares of what all jobs may use; empty means all of it.
    min_timeout_s, max_timeout_s
        Shortest and longest time limit that a job may have; 0 means any. With a longest one, a job needs a limit.
    """

    reject_networked_jobs: bool = False
    reject_stateless_jobs: bool = False
    locality: Locality = Locality.ANYWHERE
    probe_exec: str = ""
    probe_http: str = ""
    max_resources: ResourcesConfig = ANY
    min_timeout_s: float = 0.0
    max_timeout_s: float = 0.0


@dataclass(frozen=True)
class ComputeSettings:
    """Settings of a compute node. Times are in seconds.

    Attributes
    ----------
    data_dir
        Absolute directory of this role; private to it.
    labels
        Configured labels; ``name``, ``os_type`` and ``os_arch`` are added.
    env_allow_list
        Anchored globs of host variables that a job may ask for with ``env:NAME``.
    offer_timeout_s
        How long a bid stays open.
    grace_s
        How long an engine may keep an execution going that no node looks after.
    cancel_timeout_s
        How long an engine may take to stop a task before it is given up.
    publish_delays_s
        How long to wait before each further try to publish, after trouble that may pass.
    directory_retention_s
        How long the directory of an ended execution that did not publish is kept.
    log_retention_s, log_count
        How long, and of how many executions, logs are kept after the end.
    log_limit
        Bytes of stdout, and of stderr, that are kept of an execution.
    port_range
        First and last of the ports for jobs that name none.
    port_address
        Where ports of bridges listen if a job does not say; empty: on every address.
    gpus_asked_s
        How often engines are asked whether jobs can get the GPUs.
    called
        What the node is called where it refuses something.
    input_cache_size, input_cache_min_free
        Bytes of inputs that are kept to be shared (0: none), and bytes of disk that they leave free.
    """

    node_id: str
    data_dir: Path
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    allocated: ResourcesConfig = DEFAULT_ALLOCATION
    admission: AdmissionSettings = AdmissionSettings()
    env_allow_list: tuple[str, ...] = ()
    version: BuildVersionInfo = field(default_factory=BuildVersionInfo)
    jupyter_version: str = ""
    features: tuple[str, ...] = ()
    address: str = ""
    heartbeat_interval_s: float = 15.0
    info_interval_s: float = 60.0
    housekeeping_interval_s: float = 600.0
    publish_delays_s: tuple[float, ...] = (1.0, 5.0, 20.0)
    reconnect_first_s: float = 0.2
    reconnect_limit_s: float = 30.0
    probe_timeout_s: float = 30.0
    offer_timeout_s: float = 600.0
    grace_s: float = 600.0
    cancel_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0
    directory_retention_s: float = HOUR
    log_retention_s: float = 7 * 24 * HOUR
    log_count: int = 1000
    log_limit: int = 1_000_000_000
    input_cache_size: int = 10_000_000_000
    input_cache_min_free: int = 2_000_000_000
    disk_reserve: int = 0
    disk_interval_s: float = 10.0
    port_range: tuple[int, int] = (FIRST, LAST)
    port_address: str = ""
    probe_gpus: bool = True
    gpus_asked_s: float = 600.0
    called: str = THIS_NODE

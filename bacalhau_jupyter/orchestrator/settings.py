"""What can be set about an orchestrator, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.models.records.quotas import Quotas


@dataclass(frozen=True)
class OrchestratorSettings:
    """Settings of an orchestrator; times in seconds.

    Parameters
    ----------
    node_id
        This orchestrator's own ID; written into each job's Meta.
    instance_id, installation_id
        Written into each job's Meta where known.
    manual_approval
        Whether a new compute node waits for `approve` before it gets jobs.
    disconnect_timeout_s
        A node that is silent for this long is disconnected, and its executions are lost. A node that said goodbye, or
        that was connected when this orchestrator stopped, has the same time to come back.
    execution_grace_s
        How much longer than its ExecutionTimeout an execution may take before the orchestrator ends it; the node is
        expected to end it first.
    job_defaults
        Job type → ``{"Priority": n, "Task": {"Resources": {"CPU": …}, "Publisher": {"Type": …, "Params": {…}},
        "Timeouts": {"ExecutionTimeout": s, "QueueTimeout": s, "TotalTimeout": s}}}``; every member optional.
    queue_unsuitable
        Whether a job with a queue time-out waits also when every node said for good that it can't run it. False
        fails it at once with the reasons; True is for clusters in which other nodes may join.
    quotas
        What each principal's jobs may use at a time.
    workers
        Evaluations in flight at a time.
    stream_queue
        Events that may wait for one slow reader of the event stream.
    """

    node_id: str = "orchestrator"
    instance_id: str = ""
    installation_id: str = ""
    manual_approval: bool = False
    disconnect_timeout_s: float = 60.0
    execution_grace_s: float = 120.0
    job_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queue_unsuitable: bool = False
    quotas: Quotas = field(default_factory=Quotas)
    workers: int = 16
    stream_queue: int = 1000

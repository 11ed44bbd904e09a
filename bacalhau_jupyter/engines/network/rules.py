"""Rules of an execution's way out, made of its task and the node's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.engines.network.domains import Domains
from bacalhau_jupyter.engines.network.proxy import Rules
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.logfile import append_note
from bacalhau_jupyter.transfer.core.reach import KEY, Reach

REJECT_NETWORK_KEY = "JobAdmissionControl.RejectNetworkedJobs"
"""Where a node takes no jobs with a network, a job that left it open has none."""
NOTES = 50
"""Different refusals that a job's log tells."""


def has_way_out(request: RunRequest) -> bool:
    """Whether an execution gets a proxy."""
    job = request.execution.job
    return job is not None and job.task.network.type is NetworkType.HTTP


def rules_of(request: RunRequest, reach: Reach) -> Rules:
    """Return what an execution may reach; its log shows each refusal once."""
    job = request.execution.job
    network = NetworkConfig() if job is None else job.task.network
    job_id = request.execution.job_id or ("" if job is None else job.id)
    reasons: set[str] = set()

    def blocked(reason: str) -> None:
        if reason in reasons or len(reasons) > NOTES:
            return
        reasons.add(reason)
        more = " (further ones are not told)" if len(reasons) > NOTES else ""
        with contextlib.suppress(OSError):
            append_note(request.log_path, f"bacalhau: {reason}{more}")

    return Rules(job_id, Domains(network.domains), reach, blocked)


def reach_of(settings: Callable[[str], Any]) -> Reach:
    """Return which addresses the node connects to for jobs."""
    return Reach.of(settings(KEY))

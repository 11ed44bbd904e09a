"""The figures that a node tells, under the official names."""

from __future__ import annotations

from dataclasses import dataclass

_SHORT_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


@dataclass(frozen=True)
class Instrument:
    """One figure.

    Attributes
    ----------
    form
        ``counter`` (goes up), ``level`` (up and down), ``observed`` (asked for) or ``histogram``.
    bounds
        Of a histogram's buckets; empty: the SDK's.
    """

    scope: str
    form: str
    unit: str
    description: str
    bounds: tuple[float, ...] = ()


INSTRUMENTS = {
    "bacalhau_node_info": Instrument("bacalhau-node", "counter", "", "One per start, with the node's labels"),
    "jobs_received": Instrument("compute", "counter", "", "Executions offered to this compute node"),
    "jobs_completed": Instrument("compute", "counter", "", "Executions completed by this compute node"),
    "jobs_failed": Instrument("compute", "counter", "", "Executions failed on this compute node"),
    "job_duration_milliseconds": Instrument("compute", "histogram", "ms", "Duration of an execution"),
    "execution_bidding_errors": Instrument("compute", "counter", "1", "Bids that could not be decided"),
    "execution_run_errors": Instrument("compute", "counter", "1", "Executions that could not be started"),
    "docker_active_executions": Instrument("docker-executor", "level", "", "Running containers of jobs"),
    "job_publish_duration_milliseconds": Instrument("publisher", "histogram", "ms", "Duration of publishing"),
    "job_storage_prepare_duration_milliseconds": Instrument(
        "storage", "histogram", "ms", "Duration of fetching an input"
    ),
    "eval_broker_ready": Instrument("orchestrator", "observed", "", "Evaluations ready to be processed"),
    "eval_broker_inflight": Instrument("orchestrator", "observed", "", "Evaluations being processed"),
    "eval_broker_pending": Instrument(
        "orchestrator", "observed", "", "Evaluations that wait for one of the same job to end"
    ),
    "eval_broker_waiting": Instrument("orchestrator", "observed", "", "Evaluations that are due later"),
    "message.handler.process.count": Instrument("orchestrator", "counter", "1", "Messages of compute nodes"),
    "message.handler.process.duration": Instrument(
        "orchestrator", "histogram", "s", "Time to process a message", _SHORT_S
    ),
    "scheduler.process.count": Instrument("scheduler", "counter", "1", "Evaluations processed"),
    "scheduler.process.duration": Instrument(
        "scheduler", "histogram", "s", "Time to process an evaluation", _SHORT_S
    ),
    "scheduler.executions.created.total": Instrument("scheduler", "counter", "1", "Executions created"),
    "scheduler.executions.created": Instrument(
        "scheduler", "histogram", "1", "Executions created per evaluation"
    ),
    "http.server.request.duration": Instrument(
        "bacalhau_jupyter.api", "histogram", "s", "Duration of requests to the API", _HTTP_S
    ),
}

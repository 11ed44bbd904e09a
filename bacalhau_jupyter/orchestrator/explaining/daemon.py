"""Nodes on which a daemon job does not run, though it counts as running."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.records.explanation import NodeVerdict, RemedyKind, Verdict
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.orchestrator.explaining.circumstances import Circumstances
from bacalhau_jupyter.orchestrator.explaining.several import counted_reasons


def is_live_daemon(job: Job) -> bool:
    """Whether a job wants each node that suits, for ever."""
    return job.type == JobType.DAEMON and not job.is_terminal


def idle_nodes(circumstances: Circumstances, verdicts: Sequence[NodeVerdict]) -> list[NodeVerdict]:
    """Return the nodes to tell of: all that do not run a daemon that runs nowhere, else those that gave it up."""
    if not is_live_daemon(circumstances.situation.job):
        return []
    runs_somewhere = any(not item.is_terminal for item in circumstances.executions)
    return [
        verdict
        for verdict in verdicts
        if verdict.verdict not in (Verdict.RUNS, Verdict.RAN, Verdict.ABLE)
        and (not runs_somewhere or any(remedy.kind is RemedyKind.RERUN for remedy in verdict.remedies))
    ]


def idle_words(idle: Sequence[NodeVerdict]) -> str:
    """Say why a daemon does not run on nodes, as the end of a sentence; empty where there is nothing to tell."""
    if not idle:
        return ""
    if len(idle) == 1:
        return f"; {readable(short_id(idle[0].node_id))} {idle[0].reason}"
    return f"; {counted_reasons(idle)}"

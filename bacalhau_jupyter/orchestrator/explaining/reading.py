"""Reads what an explanation is derived from, and leaves out what the caller may not see."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.records.history import CANDIDATES
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.models.records.quotas import Quotas
from bacalhau_jupyter.orchestrator.explaining.circumstances import Ahead, Circumstances, Held
from bacalhau_jupyter.orchestrator.peers.offers import AddressProblem, no_address_problem
from bacalhau_jupyter.orchestrator.quotas.reading import allowance_of
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation
from bacalhau_jupyter.orchestrator.store import executions, history, jobs

_NAMED_AHEAD = 20
"""Waiting jobs whose names are looked up: a queue may have thousands, and a sentence a few."""

JobRule = Callable[[str], bool]
"""Whether the caller may see the jobs of a namespace."""


@dataclass(frozen=True)
class Cluster:
    """The nodes at one moment: as schedulers see them, and as they are kept; the time; and everybody's quotas.

    ``address_problem`` tells why nodes of other machines lack an address of this one for a job.
    """

    nodes: Sequence[NodeView]
    states: Sequence[NodeState]
    now_ns: int
    quotas: Quotas = field(default_factory=Quotas)
    address_problem: AddressProblem = no_address_problem


def read_circumstances(
    connection: sqlite3.Connection, reference: str, namespace: str, may_see: JobRule, cluster: Cluster
) -> Circumstances:
    """Read what there is to know about a job given by name, ID or prefix.

    Raises
    ------
    NotFound
        There is no such job, or the caller may not see it.
    """
    job = jobs.version(connection, jobs.resolve(connection, reference, namespace), 0)
    if not may_see(job.namespace):
        raise NotFound(f"job not found: {reference}")
    situation = Situation(
        job=job,
        executions=executions.relevant(connection, job.id, job.version),
        nodes=cluster.nodes,
        used=executions.used(connection),
        request=resources_of(job.task.resources),
        submitted_ns=jobs.submitted(connection, job.id),
        now_ns=cluster.now_ns,
        # The same question has the same answer.
        rng=random.Random(0),
        allowance=None if job.is_terminal else allowance_of(connection, cluster.quotas, job, may_see),
        spec_bytes=jobs.spec_bytes(connection, job.id, job.version),
        address_problem=cluster.address_problem(job),
    )
    return Circumstances(
        situation=situation,
        states={state.info.node_id: state for state in cluster.states},
        held={} if job.is_terminal else _held(connection, may_see),
        candidates=history.noted(connection, job.id, job.version, CANDIDATES),
    )


def read_ahead(connection: sqlite3.Connection, job_ids: Sequence[str], may_see: JobRule) -> Ahead:
    """Return what may be told of the waiting jobs that go before another one, the first of them first."""
    first = job_ids[:_NAMED_AHEAD]
    names = jobs.names(connection, first)
    shown = [names[job_id][1] for job_id in first if job_id in names and may_see(names[job_id][0])]
    return Ahead(len(job_ids), shown)


def _held(connection: sqlite3.Connection, may_see: JobRule) -> dict[str, list[Held]]:
    rows = executions.holders(connection)
    names = jobs.names(connection, sorted({job_id for _, job_id, _ in rows}))
    held: dict[str, list[Held]] = {}
    for node_id, job_id, resources in rows:
        namespace, name = names.get(job_id, ("", ""))
        shown = bool(name) and may_see(namespace)
        entry = Held(job_id if shown else "", name if shown else "", resources)
        held.setdefault(node_id, []).append(entry)
    return held

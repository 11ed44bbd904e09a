"""Clusters for explanations, on the real store: nodes, jobs that hold what they have, and the job in question."""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.node import Membership, NodeConnection, NodeState
from bacalhau_jupyter.orchestrator.explaining.circumstances import Circumstances
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.explaining.reading import Cluster, read_circumstances
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView
from tests.orchestrator.scheduler.world import World

WAITS = {"queue_timeout": 1000}


def everything(_: str) -> bool:
    return True


def node_state(view: NodeView, membership: Membership = Membership.APPROVED) -> NodeState:
    connection = NodeConnection.CONNECTED if view.ready else NodeConnection.DISCONNECTED
    return NodeState(info=view.info, membership=membership, connection=connection)


def circumstances(world: World, job: Job, may_see: Callable[[str], bool] = everything) -> Circumstances:
    views = list(world.nodes.values())
    memberships = {True: Membership.REJECTED, False: Membership.APPROVED}
    states = [node_state(view, memberships[view.rejected]) for view in views]
    cluster = Cluster(views, states, world.clock.now_ns(), world.settings.quotas)
    return read_circumstances(world.connection, job.id, "", may_see, cluster)


def explained(
    world: World, job: Job, may_see: Callable[[str], bool] = everything, reader: str = ""
) -> Explanation:
    return explain(circumstances(world, job, may_see), reader)


def running(world: World, name: str = "", **wishes: object) -> Job:
    """Submit a job and let it run."""
    job = world.submit(name, **wishes)  # type: ignore[arg-type]
    world.settle(job.id)
    for execution in world.live(job.id):
        world.bid(execution)
    world.settle(job.id)
    return world.job(job.id)


def waiting(world: World, name: str = "", **wishes: object) -> Job:
    """Submit a job and look for a place."""
    job = world.submit(name, **{**WAITS, **wishes})  # type: ignore[arg-type]
    world.settle(job.id)
    return world.job(job.id)

"""A node whose orchestrator, link or own process goes away: work goes on, and is reported once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.node.joining.official_jobs import answer_of, joined, live, shell
from tests.services.common import wait_until
from tests.services.cuttable import CuttableLink
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import TIMEOUT_S, OfficialOrchestrator, needs_official

pytestmark = needs_official

COUNTED = "echo begun; sleep 6; echo ended"


def begun(orchestrator: OfficialOrchestrator, job: str) -> None:
    orchestrator.wait_for(job, "Running")
    assert wait_until(lambda: "begun" in orchestrator.cli("job", "logs", job).stdout, timeout_s=TIMEOUT_S)


def ended_once(orchestrator: OfficialOrchestrator, job: str) -> None:
    assert orchestrator.wait_for(job, "Completed", "Failed") == "Completed"
    (execution,) = orchestrator.executions(job)
    assert execution["ComputeState"]["StateType"] == 9
    assert execution["RunOutput"]["Stdout"] == "begun\nended\n"


def test_a_killed_node_takes_up_what_it_ran(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    job = official_orchestrator.submit(shell("taken-up", COUNTED))
    begun(official_orchestrator, job)
    node.kill()
    joined(node_factory, official_orchestrator, data_dir=node.repo.path)
    ended_once(official_orchestrator, job)


def test_a_container_is_attached_to_again_after_the_node_was_killed(
    node_factory: NodeFactory,
    official_orchestrator: OfficialOrchestrator,
    docker_engine: str,
    busybox_image: str,
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    engine = {"Type": "docker", "Params": {"Image": busybox_image, "Entrypoint": ["sh", "-c", COUNTED]}}
    job = official_orchestrator.submit(
        {"Name": "box", "Type": "batch", "Count": 1, "Tasks": [{"Name": "main", "Engine": engine}]}
    )
    begun(official_orchestrator, job)
    node.kill()
    joined(node_factory, official_orchestrator, data_dir=node.repo.path)
    ended_once(official_orchestrator, job)


def test_what_ends_while_the_orchestrator_is_dead_is_reported_when_it_is_back(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    job = official_orchestrator.submit(shell("reported", COUNTED))
    begun(official_orchestrator, job)
    official_orchestrator.kill()
    assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)
    official_orchestrator.start()
    ended_once(official_orchestrator, job)
    official_orchestrator.wait_connected(node.repo.node_name())


def test_what_ends_while_both_are_dead_is_reported_when_they_are_back(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    job = official_orchestrator.submit(shell("both", COUNTED))
    begun(official_orchestrator, job)
    official_orchestrator.kill()
    node.kill()
    node = joined(node_factory, official_orchestrator, data_dir=node.repo.path)
    assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)
    official_orchestrator.start()
    ended_once(official_orchestrator, job)


@pytest.mark.parametrize("fault", ["cut", "pause"])
def test_work_goes_on_while_the_link_is_away(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator, fault: str
) -> None:
    with CuttableLink(official_orchestrator.link_port) as link:
        node = joined(node_factory, official_orchestrator, "-c", f"Compute.Orchestrators={link.url}")
        official_orchestrator.wait_connected(node.repo.node_name())
        job = official_orchestrator.submit(shell("apart", COUNTED))
        begun(official_orchestrator, job)
        away: Callable[[], None] = getattr(link, fault)
        away()
        assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)
        assert official_orchestrator.state(job) == "Running"
        (link.restore if fault == "cut" else link.resume)()
        ended_once(official_orchestrator, job)
        joined_again(node)


def joined_again(node: ServedNode) -> None:
    def is_joined() -> bool:
        return bool(answer_of(node, "/api/v1/agent/debug")[1]["Compute"]["Joined"])

    assert wait_until(is_joined, timeout_s=TIMEOUT_S)

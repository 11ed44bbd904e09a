"""A job that makes a report longer than an official orchestrator takes holds up no other report."""

from __future__ import annotations

from tests.node.joining.official_jobs import joined, shell
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import OfficialOrchestrator, needs_official

pytestmark = needs_official

LONG = 700_000
"""Characters of a path. The sentence and the hint that refuse it hold it once each, and messages have 1 MiB at most."""


def test_after_a_refusal_that_is_too_long_to_be_sent_whole_the_node_goes_on(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    source = {"Type": "localDirectory", "Params": {"SourcePath": "/" + "x" * LONG}}
    attack = official_orchestrator.submit(
        shell("long", "true", InputSources=[{"Source": source, "Target": "/inputs/x"}])
    )
    after = official_orchestrator.submit(shell("after", "true"))
    assert official_orchestrator.wait_for(after, "Completed", "Failed") == "Completed"
    assert official_orchestrator.wait_for(attack, "Failed") == "Failed"

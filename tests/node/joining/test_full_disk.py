"""A disk that is full below one end of the link: what happened is told once there is room, and counts once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.node.joining.official_jobs import answer_of, live
from tests.node.joining.test_ours import COMPLETED, address_of, placer, runner, state, submitted, wait_for
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.transfer.helpers import small_disk

pytestmark = [pytest.mark.root, pytest.mark.process, pytest.mark.timeout(500)]

TIMEOUT_S = 120.0
JOBS = 3
LASTS_S = 20
"""Long enough that all of them are seen to run at a time."""


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def has_ended(orchestrator: ServedNode, job: str) -> bool:
    return wait_until(lambda: state(orchestrator, job) in ("Completed", "Failed"), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("full", ["orchestrator", "compute"])
def test_what_ends_while_a_disk_is_full_is_told_afterwards_and_counts_once(
    node_factory: NodeFactory, tmp_path: Path, full: str
) -> None:
    with small_disk(tmp_path / "small", "48m") as disk:
        (disk / "repo").mkdir(mode=0o700)
        places = {full: disk / "repo"}
        orchestrator = placer(node_factory, data_dir=places.get("orchestrator"))
        node = runner(node_factory, address_of(orchestrator), data_dir=places.get("compute"))
        jobs = [submitted(orchestrator, Sleep=LASTS_S) for _ in range(JOBS)]
        for job in jobs:
            wait_for(orchestrator, job, "Running")
        assert wait_until(lambda: len(live(node)) == JOBS, timeout_s=TIMEOUT_S)
        filler = disk / "filler"
        fill(filler)
        # Either they end, or their ends can't be noted: both take as long as the jobs.
        wait_until(lambda: not live(node), timeout_s=LASTS_S + 20)
        assert orchestrator.process.poll() is None
        assert node.process.poll() is None
        filler.unlink()
        for job in jobs:
            assert has_ended(orchestrator, job), state(orchestrator, job)
            _, listed = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/executions")
            states = [each["ComputeState"] for each in listed["Items"]]
            done = [each["StateType"] for each in states].count(COMPLETED)
            if state(orchestrator, job) == "Completed":
                assert done == 1, states
            else:
                # What could not be noted failed with that reason.
                assert done == 0, states
                assert re.search("disk|No space left", str(states)), states
        assert not live(node)
        # Both go on.
        wait_for(orchestrator, submitted(orchestrator), "Completed")
        node.stop()
        orchestrator.stop()

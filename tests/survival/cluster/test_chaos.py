"""Everything of a cluster is killed, stopped and cut in turn: no job is lost, none counts twice, nothing is left."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival.cluster.ordeal import Ordeal
from tests.survival.cluster.town import Town
from tests.survival.cluster.verdict import judge

log = logging.getLogger(__name__)

SEED = int(os.environ.get("BACALHAU_JUPYTER_TEST_SEED", "20261129"))
"""Decides the plan; the one of a failure shows it again."""
SETTLE_S = 240.0


@pytest.fixture
def town(
    open_directory: Path, docker_engine: str, busybox_image: str, nats_server_program: Path
) -> Iterator[Town]:
    """An orchestrator and three compute nodes over NATS."""
    place = Town(open_directory, docker_engine, busybox_image)
    try:
        place.open()
        yield place
    finally:
        place.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_in_a_bad_minute_loses_no_job_and_counts_none_twice(town: Town) -> None:
    _survives(town, total_s=60, jobs=30)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_cluster_in_ten_bad_minutes_loses_no_job_and_counts_none_twice(town: Town) -> None:
    _survives(town, total_s=600, jobs=200)


def _survives(town: Town, total_s: float, jobs: int) -> None:
    log.info("seed %d", SEED)
    ordeal = Ordeal(town, SEED, total_s, jobs)
    ordeal.run()
    states = ordeal.settle(SETTLE_S)
    verdict = judge(town, states, ordeal.lines)
    log.info("%d jobs; executions made again: %s", len(states), dict(verdict.causes))
    assert len(ordeal.lines) == jobs
    assert verdict.faults == [], f"seed {SEED}:\n" + "\n".join(verdict.faults)
    town.assert_nothing_left(timeout_s=60)

"""What one job may ask of a node: resources and time (``JobAdmissionControl.Max…``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.compute.bidder import time_objections
from bacalhau_jupyter.compute.host.capacity import most_per_job
from bacalhau_jupyter.compute.settings import AdmissionSettings
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig, Timeouts
from bacalhau_jupyter.node.settings import compute_settings
from tests.compute.makers import make_execution, make_task
from tests.compute.peer import bench

LIMIT = Resources(cpu=8, memory=16_000, disk=100_000, gpu=4)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (ResourcesConfig(), LIMIT),
        (ResourcesConfig(cpu="50%", memory="25%"), Resources(cpu=4, memory=4_000, disk=100_000, gpu=4)),
        (
            ResourcesConfig(cpu="500m", memory="1kb", disk="2kb", gpu="1"),
            Resources(cpu=0.5, memory=1_000, disk=2_000, gpu=1),
        ),
    ],
)
def test_one_job_may_ask_for_an_amount_or_a_share(settings: ResourcesConfig, most: Resources) -> None:
    assert most_per_job(settings, LIMIT) == most


def test_what_is_neither_an_amount_nor_a_share_names_its_key() -> None:
    with pytest.raises(ConfigurationError, match=r"JobAdmissionControl\.MaxMemory is neither"):
        most_per_job(ResourcesConfig(memory="much"), LIMIT)


async def test_a_job_that_asks_for_more_than_one_job_may_is_refused(tmp_path: Path) -> None:
    admission = AdmissionSettings(max_resources=ResourcesConfig(cpu="200m"))
    async with bench(tmp_path, admission=admission) as node:
        answer = await node.peer.bid(make_execution(make_task(resources=ResourcesConfig(cpu="300m"))))
        assert answer.events is not None
        assert answer.events[0].message == "rejected bid: this node gives less to one job: CPU (0.3 > 0.2)"


@pytest.mark.parametrize(
    ("execution_s", "total_s", "reason"),
    [
        (60, 0, ""),
        (0, 3600, ""),
        (60, 7200, ""),
        (0, 0, "this node takes jobs with a time limit of at most 1h0m0s, and this one has none"),
        (0, 3601, "this node takes jobs of at most 1h0m0s, and this one may take 1h0m1s"),
        (7200, 0, "this node takes jobs of at most 1h0m0s, and this one may take 2h0m0s"),
        (59, 0, "this node takes jobs of at least 1m0s, and this one ends after 59s"),
    ],
)
def test_a_job_has_to_end_within_the_times_of_the_node(execution_s: int, total_s: int, reason: str) -> None:
    admission = AdmissionSettings(min_timeout_s=60, max_timeout_s=3600)
    timeouts = Timeouts(execution_timeout=execution_s, total_timeout=total_s)
    assert time_objections(timeouts, admission) == ([reason] if reason else [])


def test_without_such_settings_every_time_limit_is_taken() -> None:
    for timeouts in (Timeouts(), Timeouts(execution_timeout=1), Timeouts(total_timeout=10**9)):
        assert time_objections(timeouts, AdmissionSettings()) == []


def test_the_limits_of_one_job_come_from_the_configuration(tmp_path: Path) -> None:
    config = Config.from_sources(
        environ={},
        overrides=(
            f"DataDir={tmp_path}",
            "JobAdmissionControl.MaxCPU=2",
            "JobAdmissionControl.MaxMemory=50%",
            "JobAdmissionControl.MaxDisk=1gb",
            "JobAdmissionControl.MaxGPU=1",
            "JobAdmissionControl.MinTimeout=5s",
            "JobAdmissionControl.MaxTimeout=1h",
        ),
    )
    admission = compute_settings(config, Repo.open(tmp_path), "n").admission
    assert admission.max_resources == ResourcesConfig(cpu="2", memory="50%", disk="1gb", gpu="1")
    assert (admission.min_timeout_s, admission.max_timeout_s) == (5.0, 3600.0)

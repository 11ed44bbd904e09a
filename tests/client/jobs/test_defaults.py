"""What our clients set themselves gives way to what a cluster's administrator has set."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.client.jobs.submission import EVENTS, QUEUE_TIMEOUT_S, suited_to
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Timeouts
from bacalhau_jupyter.models.records.node import NodeInfo
from tests.services.node_fixtures import NodeFactory, node_factory

__all__ = ["node_factory"]

OURS = NodeInfo(features=[EVENTS])
OFFICIAL = NodeInfo()
TIMEOUTS = "JobDefaults.Batch.Task.Timeouts"


def batch(**task: Any) -> dict[str, Any]:
    return {"Batch": {"Task": task}}


@pytest.mark.parametrize(
    ("node", "defaults", "options", "queue_s"),
    [
        (OURS, {}, {}, QUEUE_TIMEOUT_S),
        (OURS, {}, {"timeout": 30}, 30),
        (OURS, batch(Timeouts={"QueueTimeout": "10m0s"}), {}, QUEUE_TIMEOUT_S),
        (OURS, batch(Timeouts={"TotalTimeout": "10s"}), {}, 0),
        (OURS, {"batch": {"task": {"timeouts": {"totaltimeout": 10}}}}, {}, 0),
        (OURS, batch(Timeouts={"QueueTimeout": 30}), {}, 0),
        (OURS, batch(Timeouts={"ExecutionTimeout": 5}), {}, QUEUE_TIMEOUT_S),
        (OURS, batch(Timeouts={"ExecutionTimeout": 5}), {"timeout": 30}, 0),
        (OURS, batch(Timeouts={"TotalTimeout": "10s"}), {"queue_timeout": 7}, 7),
        (OURS, {"Ops": {"Task": {"Timeouts": {"TotalTimeout": 10}}}}, {}, QUEUE_TIMEOUT_S),
        (OURS, {"Batch": {"Task": {"Timeouts": {"TotalTimeout": "soon"}}}}, {}, QUEUE_TIMEOUT_S),
        (OURS, {"Batch": []}, {}, QUEUE_TIMEOUT_S),
        (OFFICIAL, {}, {}, 0),
        (OFFICIAL, {}, {"queue_timeout": 60}, 60),
    ],
)
def test_our_queue_time_out_gives_way_to_the_clusters(
    node: NodeInfo, defaults: dict[str, Any], options: dict[str, Any], queue_s: int
) -> None:
    job = suited_to(node, defaults, build.docker("busybox", **options))
    assert job.task.timeouts.queue_timeout == queue_s


@pytest.mark.parametrize("node", [OURS, OFFICIAL])
def test_our_publisher_gives_way_but_a_chosen_one_stays(node: NodeInfo) -> None:
    sets_s3 = batch(Publisher={"Type": "s3", "Params": {"Bucket": "b"}})
    assert suited_to(node, sets_s3, build.docker("busybox")).task.publisher.is_empty
    for chosen in ("local", build.local()):
        job = suited_to(node, sets_s3, build.docker("busybox", publisher=chosen))
        assert job.task.publisher.type == "local"
    assert suited_to(node, {}, build.docker("busybox")).task.publisher.type == "local"
    unset = batch(Publisher={"Type": "", "Params": None})
    assert suited_to(node, unset, build.docker("busybox")).task.publisher.type == "local"


def test_jobs_of_ours_are_accepted_by_a_node_whose_defaults_limit_the_total_time(
    node_factory: NodeFactory,
) -> None:
    limits = {"TotalTimeout": "10s", "QueueTimeout": "5s"}
    options = [word for name, value in limits.items() for word in ("-c", f"{TIMEOUTS}.{name}={value}")]
    served = node_factory(*options, "-c", "JobDefaults.Batch.Task.Publisher.Type=noop")
    with Client(served.url) as client:
        stored = client.submit(build.job_of(SpecConfig(type="noop"))).describe()
        chosen = client.submit(build.job_of(SpecConfig(type="noop"), build.JobOptions(publisher="local")))
        assert chosen.describe().task.publisher.type == "local"
    assert stored.task.timeouts == Timeouts(queue_timeout=5, total_timeout=10)
    assert stored.task.publisher.type == "noop"

"""Deleting a job on a real node: its record and its results go, those of others stay."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import NotFound
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ServedNode]:
    started = service_or_skip(lambda: start_node(tmp_path / "repo"))
    yield started
    started.stop()


@pytest.fixture
def client(node: ServedNode) -> Iterator[Client]:
    with Client(node.url, data_dir=str(node.repo.path)) as connected:
        yield connected


def archives(node: ServedNode) -> int:
    return len(list(node.repo.path.glob("*/results/local-publisher/*.tar.gz")))


def delete(node: ServedNode, job: Job) -> int:
    url = f"{node.url}/api/v1/orchestrator/jobs/{job.id}/record"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_a_deleted_job_takes_its_results_along_and_leaves_those_of_others(
    node: ServedNode, client: Client
) -> None:
    first, second = (client.submit(process("echo a > outputs/a.txt")) for _ in range(2))
    for job in (first, second):
        job.wait()
    assert archives(node) == 2
    assert delete(node, first) == 200
    assert archives(node) == 1
    assert second.result().text("outputs/a.txt").strip() == "a"
    with pytest.raises(NotFound):
        client.job(first.id)
    assert delete(node, first) == 404


def test_a_running_job_is_not_deleted(node: ServedNode, client: Client) -> None:
    job = client.submit(process("sleep 600"))
    try:
        assert delete(node, job) == 409
    finally:
        job.stop()

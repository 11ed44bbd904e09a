"""Finding a finished job that answers for an equal one, on a real node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bacalhau_jupyter.client.cache.finding import JobCache
from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from tests.services.node import ServedNode

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def client(node: ServedNode) -> Iterator[Client]:
    with Client(data_dir=str(node.repo.path), start=False) as made:
        yield made


def test_a_later_version_of_a_job_does_not_answer_for_the_earlier_one(
    client: Client, node: ServedNode
) -> None:
    """Who may submit jobs can give one the name of another's: its ID stays, and the results are its own."""
    cache = JobCache(client, node.repo)
    model = process("echo mine", name="shared")
    key = cache.key_of(model)
    job = client.submit(model)
    cache.add(key, job, is_named=True)
    job.result()
    hit = cache.find(key)
    assert hit is not None and hit.job.outcome().stdout == "mine\n"
    other = client.submit(process("echo poison", name="shared"))
    assert other.id == job.id and other.result().stdout == "poison\n"
    assert cache.find(key) is None


def test_a_job_that_ran_again_since_does_not_answer(client: Client, node: ServedNode) -> None:
    cache = JobCache(client, node.repo)
    model = process("echo mine")
    key = cache.key_of(model)
    job = client.submit(model)
    cache.add(key, job)
    job.result()
    assert cache.find(key) is not None
    client.call(lambda api: api.rerun(job.id))
    job.result()
    assert cache.find(key) is None

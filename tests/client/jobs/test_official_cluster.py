"""Our client on a cluster that has none of our additions: no events, upstream's rules for queues.

The node is ours but keeps quiet about its features, which is all the client goes by.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.client.jobs.watch import Output, Transition
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import BadRequest, NotImplementedHere
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from tests.services.node import running_node

START_S = 60.0


@dataclass
class _Cluster:
    url: str = ""
    key: str = ""


@pytest.fixture
def client(node_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("bacalhau_jupyter.node.settings.features", lambda config: [])
    # This node ends each stream of output; how long the end of one may take is a matter of the machine.
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.watch._LATE_OUTPUT_OFFICIAL_S", 60.0)
    cluster, ready, loop = _Cluster(), threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        config = node_config().replace({"JobDefaults.Batch.Task.Timeouts.QueueTimeout": "0s"})
        async with running_node(config) as node:
            cluster.url, cluster.key = node.url, node.key
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(START_S)
        with Client(cluster.url, api_key=cluster.key) as connected:
            yield connected
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(START_S)
        loop.close()


def noop(**params: object) -> SpecConfig:
    return SpecConfig(type="noop", params=dict(params))


def stored_queue_timeout(client: Client, job: Job) -> int:
    return client.submit(job).describe().task.timeouts.queue_timeout


def test_our_default_queue_time_out_stays_at_home_and_a_given_one_travels(client: Client) -> None:
    assert build.job_of(noop()).task.timeouts.queue_timeout == build.QUEUE_TIMEOUT_S
    assert stored_queue_timeout(client, build.job_of(noop())) == 0
    assert stored_queue_timeout(client, build.job_of(noop(), build.JobOptions(queue_timeout=60))) == 60


def test_history_is_polled_to_the_end_and_the_output_is_whole(client: Client) -> None:
    job = client.submit(build.job_of(noop(Stdout="one\ntwo\n", Sleep=0.2)))
    updates = list(job.updates())
    assert "".join(item.text for item in updates if isinstance(item, Output)) == "one\ntwo\n"
    words = [item.event.message for item in updates if isinstance(item, Transition)]
    assert words[0] == "Job submitted"
    assert "Completed successfully" in words
    assert job.result().exit_code == 0


def test_a_job_that_never_runs_fails_at_once_with_the_executions_own_words(client: Client) -> None:
    with pytest.raises(JobFailed, match="Sleep"):
        client.submit(build.job_of(noop(Sleep="much"))).result()


def test_a_time_out_is_named_rather_than_the_stop_that_follows_it(client: Client) -> None:
    with pytest.raises(JobFailed, match="took longer than 1s") as failed:
        client.submit(build.job_of(noop(Sleep=60), build.JobOptions(timeout=1))).result()
    assert failed.value.result is not None
    assert failed.value.result.exit_code is None


def test_a_file_travels_inside_the_job_where_no_uploads_are_taken(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(os.urandom(1_000_000))
    (item,) = client.sent(build.process("true", inputs=[str(file)])).task.input_sources
    assert item.source.type == "inline" and item.target == "/inputs/x.bin"


@pytest.mark.parametrize("size", [7_000_000, 50_000_000])
def test_a_file_that_is_too_large_for_a_job_is_refused_with_the_ways_out(
    client: Client, tmp_path: Path, size: int
) -> None:
    with (tmp_path / "x.bin").open("wb") as file:
        file.truncate(size)
    with pytest.raises(BadRequest, match="this cluster takes no uploads") as caught:
        client.submit(build.process("true", inputs=[str(tmp_path / "x.bin")]))
    assert "S3" in caught.value.hint and "file://" in caught.value.hint


def test_a_job_that_no_message_between_official_nodes_can_hold_is_never_submitted(
    client: Client, tmp_path: Path
) -> None:
    # An official orchestrator accepts it, tries to pass it on for ever, and passes nothing else on meanwhile.
    file = tmp_path / "x.bin"
    file.write_bytes(os.urandom(900_000))
    before = len(client.jobs())
    with pytest.raises(BadRequest, match=r"largest of them .*x\.bin, has .* takes no uploads"):
        client.submit(build.job_of(noop(), build.JobOptions(inputs=[str(file)])))
    file.write_bytes(os.urandom(600_000))
    client.submit(build.job_of(noop(), build.JobOptions(inputs=[str(file)])))
    assert len(client.jobs()) == before + 1


def test_what_no_node_offers_is_refused_before_it_is_sent(client: Client) -> None:
    before = len(client.jobs())
    with pytest.raises(NotImplementedHere, match="no node of this cluster runs quantum jobs, only "):
        client.submit(build.job_of(SpecConfig(type="quantum", params={})))
    assert len(client.jobs()) == before

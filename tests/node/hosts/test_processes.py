"""A node process with a job on a host: killed with its ssh, told to end while the host hangs, and put to sleep."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Timeouts, replace
from bacalhau_jupyter.models.records.hosts import HostState
from tests.node.hosts.conftest import order
from tests.node.hosts.test_hosts import ended
from tests.node.hosts.test_waits import messages
from tests.services.far_host import FarHost
from tests.services.leaks import command_line, is_ssh
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import lasts, until

pytestmark = pytest.mark.timeout(600)
WAIT_S = 120.0
LINES = 1500
HELD = "[ $i != 300 ] || until [ -e /tmp/go ]; do sleep 0.1; done"
PRINTS = (
    f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo $i; [ $((i % 300)) = 0 ] && sleep 1; {HELD}; done"
)
"""Waits for `TELL` after some lines, so that it is seen to run also where nobody looks for a while."""
TELL = "for container in $(docker ps -q); do docker exec $container touch /tmp/go & done; wait"
WHOLE = "".join(f"{number}\n" for number in range(1, LINES + 1))


@asynccontextmanager
async def client(served: ServedNode) -> AsyncIterator[AsyncAPI]:
    it = AsyncAPI(Endpoint(url=served.url, token=served.key))
    try:
        yield it
    finally:
        await it.close()


def family(served: ServedNode) -> list[psutil.Process]:
    """Return a node's process, and those of its ssh."""
    node = psutil.Process(served.process.pid)
    return [node, *(each for each in node.children(recursive=True) if is_ssh(command_line(each)))]


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def submit(api: AsyncAPI, far_host: FarHost, script: str, limit_s: int = 0) -> str:
    job = docker(far_host.busybox_image(), ["sh", "-c", script], host="gpu1", cpu="0.1", memory="50Mb")
    (task,) = job.tasks
    limits = Timeouts(execution_timeout=limit_s) if limit_s else Timeouts()
    return (await api.submit(replace(job, tasks=[replace(task, timeouts=limits)]))).job_id


async def runs(far_host: FarHost, count: int = 1) -> None:
    await until(lambda: len(far_host.shell("docker ps -q").split()) == count, timeout_s=WAIT_S)


async def printed(api: AsyncAPI, job: str) -> str:
    """Return all that a job printed, as its log has it."""
    return "".join([frame.value.line async for frame in api.logs(job)])


async def is_whole(api: AsyncAPI, far_host: FarHost, job: str, since: str) -> None:
    """See that a job has completed, ran once, and its log is there once."""
    assert await ended(api, job) is JobStateType.COMPLETED, await messages(api, job)
    (execution,) = (await api.executions(job)).items
    assert execution.run_output is not None
    # The record has the beginning of what was printed.
    assert WHOLE.startswith(execution.run_output.stdout)
    assert await printed(api, job) == WHOLE
    starts = far_host.shell(f"docker events --since {since} --until $(date +%s) --filter event=start")
    assert sum(execution.id in line for line in starts.splitlines()) == 1


@pytest.mark.parametrize("ends", [False, True])
async def test_a_job_is_found_again_after_node_and_ssh_were_killed_together(
    ends: bool, far_host: FarHost, node_factory: NodeFactory
) -> None:
    served = node_factory("-c", "WebUI.Enabled=false")
    since = far_host.shell("date +%s").strip()
    async with client(served) as api:
        await api.hosts.add(order(far_host))
        job = await submit(api, far_host, PRINTS)
        await runs(far_host)
        processes = family(served)
        assert len(processes) > 1
        # All at once: none of them can tell another one of it.
        send(processes, signal.SIGSTOP)
        send(processes, signal.SIGKILL)
        served.process.wait(60)
    far_host.shell(TELL)
    if ends:
        await runs(far_host, 0)
    again = node_factory("-c", "WebUI.Enabled=false", data_dir=served.repo.path)
    async with client(again) as api:
        await is_whole(api, far_host, job, since)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("phase", ["running", "collecting"])
async def test_a_node_ends_while_a_host_hangs_and_loses_nothing(
    phase: str, number: signal.Signals, far_host: FarHost, node_factory: NodeFactory
) -> None:
    served = node_factory("-c", "WebUI.Enabled=false")
    since = far_host.shell("date +%s").strip()
    large = "; head -c 300000000 /dev/zero > /outputs/large" if phase == "collecting" else ""
    async with client(served) as api:
        await api.hosts.add(order(far_host))
        job = await submit(api, far_host, PRINTS + large)
        await runs(far_host)
        if phase == "collecting":
            far_host.shell(TELL)
            await runs(far_host, 0)
        far_host.cut()
        far_host.shell(TELL)
        # Nothing has noticed yet: threads wait for bytes that do not come.
        await lasts(1)
        served.process.send_signal(number)
        await asyncio.to_thread(served.process.wait, 60)
        assert served.process.returncode in (0, -number, 128 + number), served.tail()
    far_host.heal()
    again = node_factory("-c", "WebUI.Enabled=false", data_dir=served.repo.path)
    async with client(again) as api:
        await is_whole(api, far_host, job, since)


@pytest.mark.long
async def test_a_node_that_slept_judges_its_jobs_by_the_times_of_the_host(
    far_host: FarHost, node_factory: NodeFactory
) -> None:
    served = node_factory("-c", "WebUI.Enabled=false")
    since = far_host.shell("date +%s").strip()
    async with client(served) as api:
        await api.hosts.add(order(far_host))
        short = await submit(api, far_host, PRINTS, limit_s=30)
        long = await submit(api, far_host, "sleep 600", limit_s=30)
        await runs(far_host, 2)
        processes = family(served)
        send(processes, signal.SIGSTOP)
        far_host.shell(TELL)
        await lasts(90)
        send(processes, signal.SIGCONT)
        await is_whole(api, far_host, short, since)
        texts = await messages(api, short)
        assert any("the task ended at " in text and "this node heard of it " in text for text in texts), texts

        async def is_stopped() -> bool:
            (first, *_) = (await api.executions(long)).items
            return first.compute_state.message == "Execution timed out after 30s"

        await until(is_stopped, timeout_s=WAIT_S)
        await runs(far_host, 0)
        texts = await messages(api, long)
        assert any("after its time limit" in text for text in texts), texts
        assert (await api.hosts.show("gpu1")).state is HostState.READY

"""Time limits of jobs on a host that is away when they are over: the host's own times decide on its return."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Timeouts, replace
from bacalhau_jupyter.models.records.hosts import HostState
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_hosts import ended, in_state, job_state
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import lasts, until

pytestmark = pytest.mark.timeout(300)

# Within this all four are started, and two of them are told to end.
LIMIT_S = 25
# Longer than it takes to notice that a host is away.
GRACE_S = 30
LIMITS = (
    Timeouts(total_timeout=LIMIT_S, queue_timeout=LIMIT_S),
    Timeouts(execution_timeout=LIMIT_S, queue_timeout=3600),
)
UNTIL_TOLD = "while [ ! -e /tmp/go ]; do sleep 0.2; done; echo done"
TELL = "for container in $(docker ps -q); do docker exec $container touch /tmp/go & done; wait"


@pytest.fixture
async def api(node_config: MakeConfig) -> AsyncIterator[AsyncAPI]:
    config = node_config(Orchestrator__Scheduler__HousekeepingTimeout=f"{GRACE_S}s", WebUI__Enabled=False)
    async with running_node(config) as node, client_of(node) as it:
        yield it


async def submit(api: AsyncAPI, far_host: FarHost, script: str, limits: Timeouts) -> str:
    job = docker(far_host.busybox_image(), ["sh", "-c", script], host="gpu1", cpu="0.1", memory="50Mb")
    (task,) = job.tasks
    return (await api.submit(replace(job, tasks=[replace(task, timeouts=limits)]))).job_id


async def test_a_host_that_was_away_beyond_the_limits_of_its_jobs_tells_how_they_ended(
    far_host: FarHost, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    since = far_host.shell("date +%s").strip()
    began = time.monotonic()
    short = [await submit(api, far_host, UNTIL_TOLD, limits) for limits in LIMITS]
    long = [await submit(api, far_host, "sleep 600", limits) for limits in LIMITS]

    async def are_started() -> bool:
        return len((await asyncio.to_thread(far_host.shell, "docker ps -q")).split()) == 4

    await until(are_started, timeout_s=90)
    far_host.cut()
    await asyncio.to_thread(far_host.shell, TELL)
    await in_state(api, "gpu1", HostState.UNREACHABLE)
    await lasts(began + LIMIT_S + GRACE_S + 8 - time.monotonic())
    for job in (*short, *long):
        assert await job_state(api, job) is JobStateType.RUNNING
    far_host.heal()

    # What ended in time has completed, and ran once.
    for job in short:
        assert await ended(api, job) is JobStateType.COMPLETED
        (execution,) = (await api.executions(job)).items
        assert execution.run_output is not None
        assert execution.run_output.stdout == "done\n"
        starts = far_host.shell(f"docker events --since {since} --until $(date +%s) --filter event=start")
        assert sum(execution.id in line for line in starts.splitlines()) == 1

    # What still ran was stopped by its limit.
    for job in long:

        async def is_stopped(job: str = job) -> bool:
            words = f"Execution timed out after {LIMIT_S}s"
            return any(each.compute_state.message == words for each in (await api.executions(job)).items)

        await until(is_stopped, timeout_s=90)
    assert await ended(api, long[0]) is JobStateType.FAILED
    await api.stop(long[1])

from __future__ import annotations

import asyncio

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.node.leases import Leases


async def nothing_runs() -> int:
    return 0


async def test_an_idle_node_is_superfluous_once_the_last_lease_is_gone() -> None:
    leases = Leases(SystemClock())
    with leases.hold(), leases.hold():
        waiting = asyncio.create_task(leases.until_superfluous(nothing_runs, 0))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
    await asyncio.wait_for(waiting, 2)


async def test_a_running_job_keeps_the_node() -> None:
    leases = Leases(SystemClock())
    running = 1

    async def active() -> int:
        return running

    with leases.hold():
        pass
    waiting = asyncio.create_task(leases.until_superfluous(active, 0))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    running = 0
    await asyncio.wait_for(waiting, 5)


async def test_the_grace_time_starts_again_with_each_lease() -> None:
    leases = Leases(SystemClock())
    with leases.hold():
        pass
    waiting = asyncio.create_task(leases.until_superfluous(nothing_runs, 0.3))
    await asyncio.sleep(0.2)
    with leases.hold():
        await asyncio.sleep(0.2)
        assert not waiting.done()
    started = asyncio.get_running_loop().time()
    await asyncio.wait_for(waiting, 2)
    assert asyncio.get_running_loop().time() - started > 0.25


async def test_a_fresh_node_waits_for_its_starter() -> None:
    leases = Leases(SystemClock())
    waiting = asyncio.create_task(leases.until_superfluous(nothing_runs, 0, first_lease_s=0.3))
    done, _ = await asyncio.wait([waiting], timeout=0.15)
    assert not done
    await asyncio.wait_for(waiting, 2)

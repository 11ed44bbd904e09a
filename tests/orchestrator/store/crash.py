"""A process that is going to be killed: it accepts jobs, runs them, and says which ones it has promised.

Arguments: database file, process number. Prints one job ID per line, each after `submit` has returned.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.orchestrator.support import Peer, noop_job, orchestrator


async def main(path: Path, process: int) -> None:
    async with orchestrator(path) as (service, transport):
        await Peer(transport, node_id=f"n-{process}").join()

        async def client(number: int) -> None:
            for turn in range(100_000):
                name = f"job-{process}-{number}-{turn}"
                job = noop_job(name, meta={"name": name}, timeouts=LIMITS)
                put = await service.submit(job)
                sys.stdout.write(f"{put.job_id} {name}\n")
                sys.stdout.flush()

        await asyncio.gather(*(client(number) for number in range(8)))


if __name__ == "__main__":
    from bacalhau_jupyter.models.jobs.spec import Timeouts

    LIMITS = Timeouts(queue_timeout=100_000)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

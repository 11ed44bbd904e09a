"""The ssh of a link, as a process: its end is seen, whatever a jump of it still does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

from bacalhau_jupyter.engines.docker.link.ssh.master import Master
from tests.services.waiting import until


async def test_its_end_is_seen_while_the_program_of_a_jump_lives_on() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    # Through a network that is cut, ssh ends in its time, and what it started for a jump later.
    script = "sleep 600 & echo $! >&2; exec sleep 600"
    master = await Master.start([shell, "-c", script], {"PATH": os.defpath})
    await until(lambda: master.complaints.endswith("\n"))
    jump = int(master.complaints)
    try:
        os.kill(master.pid, signal.SIGKILL)
        assert await asyncio.wait_for(master.ended(), 60) == -signal.SIGKILL
        os.kill(jump, 0)
        await asyncio.wait_for(master.stop(), 60)
    finally:
        os.kill(jump, signal.SIGKILL)

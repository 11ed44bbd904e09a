"""What a link does with its way, whichever of two things happens first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.fault import Fault, Part, unreachable
from bacalhau_jupyter.engines.docker.link.keeper import Link
from bacalhau_jupyter.lib.clock import SystemClock


class SlowWay:
    """A way that takes long to close."""

    def __init__(self) -> None:
        self.breaks, self.is_closing, self.may_close = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_closed = False

    async def open(self) -> str:
        return "socket"

    async def lost(self) -> Fault:
        await self.breaks.wait()
        return unreachable(Part.ENGINE, "it does not answer")

    async def check(self) -> Fault | None:
        return None

    async def run(self, script: str, timeout_s: float) -> str:
        return ""

    async def close(self) -> None:
        self.is_closing.set()
        await self.may_close.wait()
        self.is_closed = True


async def test_a_way_that_is_being_closed_as_the_link_ends_is_closed_whole(tmp_path: Path) -> None:
    way = SlowWay()
    link = Link("gpu1", Endpoint(f"unix://{tmp_path}/s", "host gpu1"), lambda: way, clock=SystemClock())
    await link.start()
    async with asyncio.timeout(60):
        await link.ready()
        way.breaks.set()
        await way.is_closing.wait()
        closing = asyncio.create_task(link.close())
        asyncio.get_running_loop().call_later(0.05, way.may_close.set)
        await closing
    assert way.is_closed

"""What is written down of requests that get no answer, and of what stands in the way of the log."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Literal

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.api.app import build_runner
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.audit.files import AuditFile
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.problems import Problems
from tests.api.conftest import KEY
from tests.api.recorder import Agent, Recorder

JOBS = "/api/v1/orchestrator/jobs"
BODY = {"Job": {"Name": "a", "Type": "batch", "Count": 1, "Tasks": []}}


class FullFile(AuditFile):
    """A file on a disk that takes nothing."""

    def write(self, line: bytes) -> None:
        raise OSError(28, "No space left on device")


class Stuck(asyncio.Event):
    """Keeps a request waiting, and tells when it got here."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.reached.set()
        return await super().wait()


async def serve(
    audit: AuditLog, orchestrator: Recorder, sockets: TrustedSockets
) -> tuple[web.AppRunner, aiohttp.ClientSession]:
    services = ApiServices(
        agent=Agent(),
        access=Access([NodeKey(KEY)], sockets),
        challenge=ChallengeMethod("n-test"),
        orchestrator=orchestrator.service,
    )
    runner = build_runner(replace(services, audit=audit), shutdown_timeout_s=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    return runner, aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"})


async def test_a_change_that_the_nodes_end_broke_off_is_written_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    stuck, sockets = Stuck(), TrustedSockets(enabled=False)
    orchestrator = Recorder(stuck=stuck)
    audit = AuditLog(AuditFile(path, 10_000, 1), SystemClock(), Problems())
    runner, session = await serve(audit, orchestrator, sockets)
    async with session:
        request = asyncio.create_task(session.put(JOBS, json=BODY))
        async with asyncio.timeout(60):
            await stuck.reached.wait()
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientError):
            await request
    audit.close()
    sockets.close()
    (line,) = (json.loads(text) for text in path.read_bytes().splitlines())
    assert (line["principal"], line["verb"], line["outcome"]) == ("owner", "submit", "broken off")


async def test_a_disk_that_takes_no_line_stops_no_request(tmp_path: Path) -> None:
    orchestrator, sockets, problems = Recorder(), TrustedSockets(enabled=False), Problems()
    audit = AuditLog(FullFile(tmp_path / "audit.jsonl", 10_000, 1), SystemClock(), problems)
    runner, session = await serve(audit, orchestrator, sockets)
    async with session:
        for _ in range(3):
            async with session.put(JOBS, json=BODY) as answer:
                assert answer.status == 200
        # Nor does one that was closed: the node's last requests.
        audit.close()
        async with session.put(JOBS, json=BODY) as answer:
            assert answer.status == 200
    await runner.cleanup()
    sockets.close()
    assert [(problem.task, problem.count) for problem in problems.every()] == [("writing the audit log", 1)]

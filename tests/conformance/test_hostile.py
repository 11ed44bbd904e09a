"""Bad input over the wire of a real node: one sentence that names what is wrong, and nothing stored."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.node.node import running_node

JOBS = "/api/v1/orchestrator/jobs"
JSON = "application/json"
HALF_CHARACTER = (
    b'{"Job":{"Name":"\\ud800","Type":"batch","Count":1,"Tasks":[{"Name":"m","Engine":{"Type":"noop"}}]}}'
)


def job(**changes: Any) -> dict[str, Any]:
    task = {"Name": "main", "Engine": {"Type": "noop"}, **changes.pop("task", {})}
    return {"Job": {"Type": "batch", "Count": 1, "Tasks": [task], **changes}}


REFUSED: list[tuple[Any, str]] = [
    (job(Type="foo"), 'invalid job type: "foo"'),
    (job(Count=-1), "job count must be >= 0"),
    (job(Tasks=[]), "missing job tasks"),
    (job(Priority="high"), "Priority"),
    (job(Priority=2**70), "Priority"),
    (job(Count=2**70), "Count"),
    (job(Labels=["a"]), "Labels"),
    (job(Name="a\x00b"), "null character"),
    (job(task={"Engine": {"Type": ""}}), "missing spec type"),
    (job(task={"Resources": {"CPU": "-1"}}), "invalid CPU value"),
    (job(task={"Resources": {"Memory": "much"}}), "invalid memory value"),
    (job(task={"Timeouts": {"ExecutionTimeout": -3}}), "execution timeout"),
    (job(task={"Network": {"Type": "Tunnel"}}), "Network"),
    (job(task={"ResultPaths": [{"Name": "a", "Path": "rel"}]}), "must be absolute"),
    (job(task={"InputSources": [{"Source": {"Type": "inline"}, "Target": ""}]}), "missing a target"),
    (job(task={"Env": {"lower": "x"}}), "must be uppercase"),
    (job(Constraints=[{"Key": "", "Operator": "=", "Values": ["a"]}]), "selector key cannot be blank"),
]


async def test_a_submission_that_breaks_a_rule_names_it_and_leaves_nothing(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            for body, message in REFUSED:
                async with session.put(JOBS, json=body) as answer:
                    envelope = await answer.json()
                assert answer.status == 400, (body, envelope)
                assert message.lower() in envelope["Message"].lower(), (body, envelope)
                assert "Traceback" not in json.dumps(envelope)
            async with session.put(JOBS, data=HALF_CHARACTER, headers={"Content-Type": JSON}) as answer:
                assert answer.status == 400
            async with session.get(JOBS) as answer:
                assert (await answer.json())["Items"] == []


async def test_a_job_that_no_node_fits_fails_with_the_reason_per_node(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.put(JOBS, json=job(task={"Engine": {"Type": "quantum"}})) as answer:
                identifier = (await answer.json())["JobID"]
            state: dict[str, Any] = {}
            async with asyncio.timeout(20):
                while state.get("StateType") != "Failed":
                    async with session.get(f"{JOBS}/{identifier}") as answer:
                        state = (await answer.json())["Job"]["State"]
    assert "not enough nodes to run job" in state["Message"]
    assert "does not support quantum, only" in state["Message"]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PUT /api/v1/orchestrator/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_hurts_nobody(node_config: Callable[..., Config], data: bytes) -> None:
    async with running_node(node_config(Compute__Enabled=False)) as node:
        loop = asyncio.get_running_loop()
        with socket.socket() as raw:
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", node.record.port))
            await loop.sock_sendall(raw, data)
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            async with asyncio.timeout(10):
                while part := await loop.sock_recv(raw, 65536):
                    answer += part
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200"))
        assert b"Traceback" not in answer
        async with aiohttp.request("GET", f"{node.url}/api/v1/agent/alive") as alive:
            assert alive.status == 200

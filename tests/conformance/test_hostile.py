"""Bad input over the wire of a real node: one sentence that names what is wrong, and nothing stored."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bacalhau_jupyter.config.config import Config
from tests.services.node import running_node

JOBS = "/api/v1/orchestrator/jobs"
JSON = "application/json"
MANY_TASKS = [{"Name": f"t{number}", "Engine": {"Type": "noop"}} for number in range(1000)]
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
    (job(Tasks=MANY_TASKS), "the job has 1000 tasks; only one is supported per job"),
    (job(Priority="high"), "Priority"),
    (job(Priority=2**70), "Priority"),
    (job(Count=2**70), "Count"),
    (job(Count=10**9), "job count must be <= 10000"),
    (job(Count=2**31 - 1), "job count must be <= 10000"),
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
            encoded = {"Content-Type": JSON, "Content-Encoding": "gzip"}
            async with session.put(JOBS, data=b"not gzip", headers=encoded) as answer:
                assert answer.status == 400
                assert "not encoded" in (await answer.json())["Message"]
            async with session.put(JOBS, data=gzip.compress(b" " * 10**8), headers=encoded) as answer:
                assert answer.status == 413
            async with session.get(JOBS) as answer:
                assert (await answer.json())["Items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "history?since=99999999999999999", None, 200),
        ("GET", "history?job_version=9223372036854775807", None, 404),
        ("GET", "executions?job_version=9223372036854775807", None, 404),
        ("PUT", "rerun", {"JobVersion": 2**64}, 404),
        ("PUT", "rerun", {"JobVersion": -(2**64)}, 404),
    ],
)
async def test_a_number_too_large_for_the_database_is_a_client_error(
    node_config: Callable[..., Config], method: str, path: str, body: Any, status: int
) -> None:
    async with running_node(node_config(Compute__Enabled=False)) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.put(JOBS, json=job(Name="a")) as answer:
                assert answer.status == 200
            async with session.request(method, f"{JOBS}/a/{path}", json=body) as answer:
                assert answer.status == status, await answer.text()


async def test_a_result_name_that_no_file_system_takes_is_refused_with_the_bid(
    node_config: Callable[..., Config],
) -> None:
    outputs = {"Publisher": {"Type": "local"}, "ResultPaths": [{"Name": "a" * 300, "Path": "/o"}]}
    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.put(JOBS, json=job(task=outputs)) as answer:
                identifier = (await answer.json())["JobID"]
            messages: list[str] = []
            async with asyncio.timeout(60):
                while not any("not enough nodes" in message for message in messages):
                    async with session.get(f"{JOBS}/{identifier}/history") as answer:
                        messages = [item["Event"]["Message"] for item in (await answer.json())["Items"]]
    assert any("as the name of a result path" in message and len(message) < 200 for message in messages), (
        messages
    )


async def test_a_long_address_is_read_and_one_without_end_is_refused_in_one_line(
    node_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    async with running_node(node_config(Compute__Enabled=False)) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.get(f"{JOBS}?labels={'a,' * 8000}a") as answer:
                assert answer.status == 200
            async with session.get(f"{JOBS}?labels={'a,' * 80000}a") as answer:
                assert answer.status == 400
    records = [record for record in caplog.records if record.name.startswith("bacalhau_jupyter.api")]
    assert [record.exc_info for record in records] == [None]


async def test_a_job_that_no_node_fits_fails_with_the_reason_per_node(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.put(JOBS, json=job(task={"Engine": {"Type": "quantum"}})) as answer:
                identifier = (await answer.json())["JobID"]
            state: dict[str, Any] = {}
            async with asyncio.timeout(60):
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
            answer = b""
            async with asyncio.timeout(60):
                # A server that closes before it has read all resets the connection: what it said counts.
                with contextlib.suppress(OSError):
                    await loop.sock_sendall(raw, data)
                    raw.shutdown(socket.SHUT_WR)
                    while part := await loop.sock_recv(raw, 65536):
                        answer += part
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200"))
        assert b"Traceback" not in answer
        async with aiohttp.request("GET", f"{node.url}/api/v1/agent/alive") as alive:
            assert alive.status == 200


HOSTILE_IDS = [
    "..",
    "%2e%2e",
    "a%00b",
    "%ff%fe",
    "j-" + "a" * 8000,
    "a%2Fb",
    "a%0d%0aX:%20y",
    "'%20OR%201=1%20--",
    "%25",
    "*",
    "_",
]
JOB_ROUTES = [("GET", ""), ("DELETE", ""), ("PUT", "/rerun")] + [
    ("GET", f"/{name}") for name in ("history", "executions", "versions", "results", "logs", "explanation")
]
ROUTES = [
    *((method, f"{JOBS}/{{id}}{rest}") for method, rest in JOB_ROUTES),
    ("GET", "/api/v1/orchestrator/nodes/{id}"),
    ("PUT", "/api/v1/orchestrator/nodes/{id}"),
    ("GET", "/api/v1/auth/{id}"),
    ("POST", "/api/v1/auth/{id}"),
    ("GET", "/api/v1/compute/results/{id}"),
    ("GET", "/api/v1/compute/results/{id}.tar.gz?expires=99999999999999999999&signature=%00"),
]


async def test_an_id_that_nobody_has_is_not_found_on_every_route_however_it_is_written(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config(Compute__Enabled=False)) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for identifier in HOSTILE_IDS:
                for method, route in ROUTES:
                    address = URL(node.url + route.replace("{id}", identifier), encoded=True)
                    body = None if method == "GET" else {"Action": "approve", "MethodData": "e30="}
                    async with session.request(method, address, json=body) as answer:
                        assert answer.status in (400, 401, 403, 404), (
                            method,
                            str(address)[:120],
                            answer.status,
                        )
                        assert (await answer.json())["Status"] == answer.status
                        assert "X" not in answer.headers


def frame(opcode: int, data: bytes, length: int | None = None, bits: int = 0x80) -> bytes:
    """A masked client frame; ``length`` may lie, ``bits`` are FIN and the reserved ones."""
    stated = len(data) if length is None else length
    if stated < 126:
        size = bytes([0x80 | stated])
    elif stated < 65536:
        size = bytes([0x80 | 126]) + stated.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + stated.to_bytes(8, "big")
    return bytes([bits | opcode]) + size + bytes(4) + data


GARBAGE = {
    "no frames at all": bytes(range(256)) * 12,
    "an unknown opcode": frame(7, b"x"),
    "reserved bits": frame(1, b"x", bits=0xF0),
    "a length beyond reason": frame(2, b"x" * 100, length=2**62),
    "a message over the limit": frame(2, b"x" * 70_000),
    "fragments without end": frame(1, b"x" * 60_000, bits=0) + frame(0, b"x" * 60_000, bits=0) * 50,
    "no UTF-8": frame(1, b"\xff\xfe"),
    "a ping that is too long": frame(9, b"x" * 200),
    "half a close code": frame(8, b"x"),
}


@pytest.mark.parametrize("path", ["/api/v1/orchestrator/events", "/api/v1/agent/lease"])
async def test_a_websocket_with_garbage_is_closed_and_leaves_nothing_behind(
    node_config: Callable[..., Config], path: str
) -> None:
    async with running_node(node_config(Compute__Enabled=False)) as node:
        for name, garbage in GARBAGE.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", node.record.port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {node.key}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            async with asyncio.timeout(60):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"), name
                writer.write(garbage)
                try:
                    while await reader.read(65536):
                        pass
                except ConnectionError:
                    pass
            writer.transport.abort()
        async with asyncio.timeout(60):
            while node.leases.count:  # noqa: ASYNC110 - the node tells nobody when one goes
                await asyncio.sleep(0)
        async with aiohttp.request("GET", f"{node.url}/api/v1/agent/alive") as alive:
            assert alive.status == 200

"""What another OS user of this machine can cost a real node before any login, and what the owner notices of it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conformance import caller
from tests.conformance.caller import JOBS
from tests.conformance.test_access import OTHER, needs_root
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, interpreter_for
from tests.services.node_fixtures import NodeFactory

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket"),
    needs_root,
]

DESCRIPTORS = 1024
HALF_HEADS = """
import socket, sys
port, count, kept, sent = int(sys.argv[1]), int(sys.argv[2]), [], 0
print("ready", flush=True)
while sent < count:
    try:
        end = socket.create_connection(("127.0.0.1", port), 5)
        end.sendall(b"GET /api/v1/agent/alive HTTP/1.1\\r\\nHost: local")
        kept.append(end)
        sent += 1
    except OSError:
        pass
print("sent", flush=True)
sys.stdin.read()
"""
HALF_BODIES = """
import socket, sys
port, count, kept = int(sys.argv[1]), int(sys.argv[2]), []
head = b"POST %s HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
head += b"Content-Length: 10000000\\r\\n\\r\\n"
for number in range(count):
    path = (b"/api/v1/auth/clientkey", b"/api/v1/orchestrator/jobs")[number % 2]
    end = socket.create_connection(("127.0.0.1", port), 60)
    end.settimeout(float(sys.argv[3]))
    kept.append(end)
    try:
        end.sendall(head % path + b" " * 9_900_000)
    except OSError:
        pass
print("sent", flush=True)
sys.stdin.read()
"""


@contextmanager
def stranger(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run an attack as another OS user for the duration."""
    python = service_or_skip(lambda: interpreter_for(OTHER))
    process = subprocess.Popen(
        [python.path, "-c", script, *arguments],
        user=OTHER,
        group=OTHER,
        extra_groups=[],
        cwd="/",
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)
        process.stdin.close()
        process.stdout.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def slow_call_s(node: ServedNode, calls: int) -> float:
    """Call as the owner, on a new connection each time; up to three calls may have waited for the machine itself."""
    took = []
    for _ in range(calls):
        begun = time.monotonic()
        assert caller.call(node.port, "GET", JOBS)[0] == 200
        took.append(time.monotonic() - begun)
    return sorted(took)[-4]


def test_a_thousand_half_sent_heads_do_not_keep_the_owner_out(node_factory: NodeFactory) -> None:
    limits = f'ulimit -Sn {DESCRIPTORS // 2}; ulimit -Hn {DESCRIPTORS}; exec "$@"'
    node = node_factory(prefix=["/bin/sh", "-c", limits, "sh"])
    assert psutil.Process(node.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
    kernel = [http.client.HTTPConnection("127.0.0.1", node.port, timeout=60) for _ in range(100)]
    for connection in kernel:
        connection.request("GET", JOBS)
        connection.getresponse().read()
    with stranger(HALF_HEADS, str(node.port), "1100") as attack:
        assert line_of(attack) == "ready"
        assert slow_call_s(node, 30) < 5
        assert line_of(attack) == "sent"
        assert slow_call_s(node, 30) < 5
        assert psutil.Process(node.process.pid).num_fds() < DESCRIPTORS // 2 + 100
    # The pool of connections that a kernel opened before the attack is all there.
    for connection in kernel:
        connection.request("GET", JOBS)
        answer = connection.getresponse()
        assert answer.status == 200
        assert "Items" in json.loads(answer.read())
        connection.close()


def test_unfinished_bodies_of_a_stranger_take_no_memory(node_factory: NodeFactory) -> None:
    node = node_factory()
    process = psutil.Process(node.process.pid)
    slow_call_s(node, 20)
    before = process.memory_info().rss
    with stranger(HALF_BODIES, str(node.port), "80", "0.5") as attack:
        assert line_of(attack) == "sent"
        assert process.memory_info().rss - before < 40 * 2**20
        assert slow_call_s(node, 10) < 5


def test_connections_of_a_stranger_that_say_nothing_are_closed(node_factory: NodeFactory) -> None:
    node = node_factory()
    process = psutil.Process(node.process.pid)
    before = process.num_fds()
    with stranger(HALF_HEADS, str(node.port), "50") as attack:
        assert line_of(attack) == "ready"
        assert line_of(attack) == "sent"
        assert wait_until(lambda: process.num_fds() <= before + 5, timeout_s=60)


def test_the_script_of_the_attack_is_the_attack(tmp_path: Path) -> None:
    """Positive control: a server without limits keeps every half-sent head, and every byte of an unfinished body."""
    server = tmp_path / "server.py"
    server.write_text(
        "from aiohttp import web\n"
        "async def read(request):\n    await request.read()\n    return web.Response()\n"
        "app = web.Application(client_max_size=10**7 + 1)\n"
        "app.router.add_route('*', '/{any:.*}', read)\n"
        "import socket, sys\n"
        "end = socket.create_server(('127.0.0.1', 0))\n"
        "print(end.getsockname()[1], flush=True)\n"
        "web.run_app(app, sock=end, print=None)\n"
    )
    with subprocess.Popen([sys.executable, str(server)], stdout=subprocess.PIPE, text=True) as unguarded:
        try:
            assert unguarded.stdout is not None
            port, process = unguarded.stdout.readline().strip(), psutil.Process(unguarded.pid)
            before = process.memory_info().rss
            with stranger(HALF_BODIES, port, "20", "60") as attack:
                assert line_of(attack) == "sent"
                assert wait_until(lambda: process.memory_info().rss - before > 100 * 2**20, timeout_s=60)
            with stranger(HALF_HEADS, port, "300") as attack:
                assert line_of(attack) == "ready"
                assert line_of(attack) == "sent"
                assert wait_until(lambda: process.num_fds() > 300, timeout_s=60)
        finally:
            unguarded.kill()

"""The services do what the tests that stand on them take for granted."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import psutil
import pytest

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from tests.server import conftest as server
from tests.services import docker_engine, leaks, node, pebble
from tests.services.common import ServiceUnavailableError, process_start, run, wait_until
from tests.services.fixtures import service_or_skip
from tests.services.http_server import BadHttpServer
from tests.services.registry import Registry
from tests.services.s3 import CuttingProxy


def fetch(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    with urlopen(Request(url, headers=headers), timeout=60) as answer:
        return answer.status, answer.read(), dict(answer.headers.items())


def docker_engine_client(base_url: str) -> Any:
    return docker_engine.client(base_url)


def test_both_images_run_what_they_promise(docker_engine: str, busybox_image: str, python_image: str) -> None:
    engine = docker_engine_client(docker_engine)
    try:
        out = engine.containers.run(busybox_image, ["sh", "-c", "echo $((6 * 7)) | cat"], remove=True)
        assert out == b"42\n"
        code = "import json, sqlite3, sys; print(sys.version_info[:2])"
        assert engine.containers.run(python_image, ["python", "-c", code], remove=True) == b"(3, 11)\n"
    finally:
        engine.close()


def test_a_pushed_image_is_pulled_again_by_its_digest(
    docker_engine: str, busybox_image: str, registry: Registry
) -> None:
    pushed = registry.push(busybox_image, "tests/pulled-again:1")
    engine = docker_engine_client(docker_engine)
    try:
        image = engine.images.pull(pushed.pinned)
        assert pushed.digest.startswith("sha256:")
        assert pushed.pinned in image.attrs["RepoDigests"]
        engine.images.remove(pushed.pinned, noprune=True)
    finally:
        engine.close()


def test_the_http_server_misbehaves_as_its_routes_say(http_server: BadHttpServer) -> None:
    url, content = http_server.url, http_server.content
    assert fetch(f"{url}/file")[1] == content
    assert fetch(f"{url}/file", Range="bytes=1000-")[:2] == (206, content[1000:])
    chunked = fetch(f"{url}/chunked")
    assert chunked[1] == content
    assert "Content-Length" not in chunked[2]
    assert http_server.disposition_name in fetch(f"{url}/redirect")[2]["Content-Disposition"]
    assert "../../evil" in fetch(f"{url}/hostile-name")[2]["Content-Disposition"]
    for path, status in (("/missing", 404), ("/flaky/a", 503)):
        with pytest.raises(HTTPError) as refused:
            fetch(url + path)
        assert refused.value.code == status
        refused.value.close()
    assert fetch(f"{url}/flaky/a")[1] == content
    for path in ("/truncated", "/truncated", "/cut/b"):
        with pytest.raises(http.client.IncompleteRead):
            fetch(url + path)
    assert fetch(f"{url}/cut/b")[1] == content
    assert http_server.requests[1][2]["Range"] == "bytes=1000-"


@pytest.mark.usefixtures("no_leaks")
def test_closing_the_http_server_releases_a_client_that_waits() -> None:
    server = BadHttpServer()
    with urlopen(f"{server.url}/slow", timeout=60) as answer:
        assert answer.read(1) == server.content[:1]
        server.close()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


def test_a_thread_a_process_and_a_socket_left_behind_are_all_named() -> None:
    before = leaks.Snapshot.take()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(600,), name="forgotten-thread")
    thread.start()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        left = "\n".join(leaks.leftovers(before, grace_s=0))
        assert "thread forgotten-thread" in left
        assert f"process {child.pid}" in left
        assert f"socket fd {listener.fileno()}" in left
    finally:
        release.set()
        thread.join()
        child.communicate(timeout=60)
        listener.close()
    assert leaks.leftovers(before) == []


@pytest.mark.parametrize("ours", [True, False])
def test_a_container_is_named_where_its_node_is_ours(
    docker_engine: str, busybox_image: str, ours: bool
) -> None:
    node_id = f"n-{uuid4()}"
    if ours:
        leaks.owns(node_id)
    before = leaks.Snapshot.take(docker_engine)
    engine = docker_engine_client(docker_engine)
    try:
        container = engine.containers.create(busybox_image, ["true"], labels={LABEL_NODE: node_id})
        try:
            left = leaks.leftovers(before, docker_engine, grace_s=0)
            assert any(container.id[:12] in line for line in left) is ours
        finally:
            container.remove()
    finally:
        engine.close()


def test_a_missing_service_skips_with_its_reason_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ServiceUnavailableError("there is no such thing here")

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        service_or_skip(missing)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        service_or_skip(missing)


def test_a_command_that_fails_says_why_and_one_that_hangs_is_ended() -> None:
    with pytest.raises(ServiceUnavailableError, match="failed with 3: out of cheese"):
        run(["sh", "-c", "echo out of cheese; exit 3"], timeout_s=60)
    with pytest.raises(ServiceUnavailableError, match="longer than"):
        run(["sleep", "600"], timeout_s=0.1)
    with pytest.raises(ServiceUnavailableError, match="is not installed"):
        run(["no-such-command-here"], timeout_s=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts an engine of its own")
def test_only_the_engine_that_we_recorded_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BACALHAU_JUPYTER_TEST_CACHE", str(tmp_path))
    assert docker_engine.stop() is False
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        record = tmp_path / "dockerd.json"
        record.write_text(
            f'{{"pid": {bystander.pid}, "start": "1"}}'
        )  # a reused pid: started at another time
        assert docker_engine.stop() is False
        assert not record.exists()
        assert bystander.poll() is None
        record.write_text(f'{{"pid": {bystander.pid}, "start": "{process_start(bystander.pid)}"}}')
        assert docker_engine.stop() is True
    finally:
        bystander.kill()
        bystander.wait()


@pytest.fixture
def gone() -> psutil.Process:
    """A process that was seen, and has ended since."""
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        return psutil.Process(process.pid)


def test_a_node_that_ends_by_itself_before_it_is_asked_to_is_no_fault(
    gone: psutil.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [SimpleNamespace(pid=gone.pid), None]
    monkeypatch.setattr(node, "read_record", lambda repo: seen.pop(0))
    node.end_node_of(Repo(tmp_path))
    assert seen == []


def test_a_node_that_ends_by_itself_before_it_is_killed_is_no_fault(
    gone: psutil.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "nodes_of", lambda repo: [gone])
    server.kill_nodes_of(Repo(tmp_path))


def test_a_proxy_hangs_up_on_who_connects_while_it_is_closed(
    no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.create_connection
    connects, goes_on = threading.Event(), threading.Event()

    def slowly(*address: Any, **named: Any) -> socket.socket:
        connects.set()
        assert goes_on.wait(60)
        return connect(*address, **named)

    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = CuttingProxy(server.getsockname()[1], after=0, cuts=0)
        monkeypatch.setattr(socket, "create_connection", slowly)
        with connect(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=60) as client:
            assert connects.wait(60)
            closing = threading.Thread(target=proxy.close)
            closing.start()
            assert wait_until(lambda: proxy._is_closed, timeout_s=60)
            goes_on.set()
            assert client.recv(1) == b""
            closing.join(60)
            assert len(proxy._threads) == 1, "nothing waits for what it might send"


ORDERS_SERVER = """
import json, pathlib, socket, sys, threading
config = json.loads(pathlib.Path(sys.argv[2]).read_text())["pebble"]
ports = [int(config[key].rpartition(":")[2]) for key in ("listenAddress", "managementListenAddress")]
servers = [socket.create_server(("127.0.0.1", port)) for port in ports]
place.joinpath("listens").touch()
threading.Event().wait()
"""
NAMES_SERVER = """
import socket, sys, time
while not place.joinpath("go").exists(): time.sleep(0.02)
with socket.socket(type=socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", int(sys.argv[2].rpartition(":")[2])))
    while True: server.sendto(*server.recvfrom(512))
"""


def test_the_acme_server_is_up_when_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in {"pebble": ORDERS_SERVER, "pebble-challtestsrv": NAMES_SERVER}.items():
        program = tmp_path / name
        program.write_text(
            f"#!{sys.executable}\nimport pathlib\nplace = pathlib.Path({str(tmp_path)!r})\n{code}"
        )
        program.chmod(0o755)
    monkeypatch.setattr(pebble, "built", lambda name, **named: tmp_path / name)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(pebble.Pebble, tmp_path)
        try:
            assert wait_until((tmp_path / "listens").exists, timeout_s=60)
            assert not wait_until(starting.done, timeout_s=0.5)
        finally:
            (tmp_path / "go").touch()
            starting.result(60).close()

"""Finding a Docker Engine: what is said when it may not be used or is not there, and whether it sees our disk."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.output.streams import _unchunked
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.conftest import Node

ROOT = Path(__file__).parents[3]
PROBE = """
import asyncio, json, os, sys
from pathlib import Path
from types import SimpleNamespace
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.docker import DockerEngine

async def main(directory, uid, groups):
    from docker import APIClient  # as long as its files can be read
    if int(uid):
        os.setgroups([int(group) for group in groups.split(",") if group])
        os.setgid(int(uid))
        os.setuid(int(uid))
    options = PluginOptions(node_id="n-probe", data_dir=Path(directory))
    engine = DockerEngine(options, env=dict(os.environ), home=Path("/nowhere"))
    found = await engine.probe()
    await engine.close()
    print(json.dumps([found.available, found.runtime, found.problem]))

asyncio.run(main(*sys.argv[1:]))
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or mount")


def probe(
    directory: Path, env: Mapping[str, str], *, uid: int = 0, groups: str = "", prefix: tuple[str, ...] = ()
) -> tuple[bool, str, str]:
    """Probe in a process of its own."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROBE, str(directory), str(uid), groups],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    available, runtime, problem = json.loads(done.stdout)
    return available, runtime, problem


def test_an_engine_that_sees_our_directory_is_named_with_its_version(
    docker_engine: str, tmp_path: Path
) -> None:
    available, runtime, problem = probe(tmp_path, {"DOCKER_HOST": docker_engine})
    assert available
    assert runtime.startswith("Docker Engine ")
    assert runtime.split()[-1][0].isdigit(), "copies are made though the engine sees our directory"
    assert problem == ""
    assert list(tmp_path.iterdir()) == []


@needs_root
@pytest.mark.root
def test_another_user_gets_the_error_that_permission_is_denied(docker_engine: str, tmp_path: Path) -> None:
    available, _, problem = probe(tmp_path, {"DOCKER_HOST": docker_engine}, uid=65533)
    assert not available
    assert problem.startswith(f"permission denied on {docker_engine.removeprefix('unix://')} (DOCKER_HOST)")
    assert "group `docker`" in problem


@needs_root
@pytest.mark.root
def test_an_engine_that_sees_another_disk_gets_copies(docker_engine: str, tmp_path: Path) -> None:
    # A private mount name space with a fresh disk at our directory: what a container with the engine's socket
    # mounted into it looks like to the engine.
    inside = tmp_path / "data"
    inside.mkdir()
    script = f'mount -t tmpfs tmpfs "{inside}" && exec "$@"'
    available, runtime, problem = probe(
        inside, {"DOCKER_HOST": docker_engine}, prefix=("unshare", "-m", "sh", "-c", script, "sh")
    )
    assert (available, problem) == (True, "")
    assert runtime.endswith(" (archive)")


def test_a_socket_that_nobody_listens_on_is_reported(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    _, _, problem = probe(tmp_path, {"DOCKER_HOST": f"unix://{path}"})
    assert problem == f"no Docker Engine answers at {path} (DOCKER_HOST): Connection refused"


def test_an_invalid_address_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    for address in ("nonsense://x", "tcp://127.0.0.1:9"):
        available, _, problem = probe(tmp_path, {"DOCKER_HOST": address})
        assert not available
        assert problem.startswith(f"no Docker Engine answers at {address} (DOCKER_HOST): ")
        assert "Traceback" not in problem


async def test_a_missing_sdk_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    engine = DockerEngine(PluginOptions(node_id="n", data_dir=tmp_path), env={}, home=tmp_path)
    availability = await engine.probe()
    assert not availability.available
    assert 'pip install "bacalhau-jupyter[docker]"' in availability.problem
    await engine.close()


def test_the_sdk_is_not_imported_before_the_engine_is_probed() -> None:
    code = (
        "import sys; import bacalhau_jupyter.engines.docker as d; from pathlib import Path;"
        "from bacalhau_jupyter.plugins.options import PluginOptions;"
        "d.DockerEngine(PluginOptions(node_id='n', data_dir=Path('/tmp')));"
        "print(sorted({'docker', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


async def test_a_data_directory_that_can_not_be_written_is_reported(
    docker_engine: str, tmp_path: Path
) -> None:
    options = PluginOptions(node_id="n", data_dir=tmp_path / "missing")
    engine = DockerEngine(options, env={"DOCKER_HOST": docker_engine})
    availability = await engine.probe()
    assert "can't write to its own directory" in availability.problem
    await engine.close()


# --- results of a node that is not root ---------------------------------------------------------------------

RUN_AS_USER = """
import asyncio, os, shutil, sys
from pathlib import Path
from types import SimpleNamespace
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.docker import DockerEngine
from tests.engines.docker.conftest import Node

async def main(directory, url, node_id, image, uid, group):
    import docker, docker.types
    os.setgroups([int(group)])
    os.setgid(int(uid))
    os.setuid(int(uid))
    options = PluginOptions(node_id=node_id, data_dir=Path(directory))
    node = Node(DockerEngine(options, env={"DOCKER_HOST": url}), Path(directory), url, options)
    found = await node.engine.probe()
    assert found.available, found
    write = "cd /outputs; echo secret > s; chmod 600 s; mkdir d; echo x > d/f; echo done"
    request = node.request({"Image": image, "Parameters": ["sh", "-c", write]}, outputs={"outputs": "/outputs"})
    await node.engine.start(request)
    outcome = await node.engine.wait(request.execution.id)
    assert outcome.exit_code == 0, outcome
    results = request.outputs[0].path
    print((results / "s").read_text(), end="")
    await node.engine.clean(request.execution.id)
    shutil.rmtree(request.directory)
    await node.engine.close()
    print(request.directory.exists())

asyncio.run(main(*sys.argv[1:]))
"""


@needs_root
@pytest.mark.root
def test_a_node_that_is_not_root_can_read_and_remove_what_a_root_task_wrote(
    node: Node, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    socket = Path(docker_engine.removeprefix("unix://")).stat()
    uid = 1600
    if not socket.st_mode & 0o020 or socket.st_gid == 0:
        pytest.skip("the engine's socket has no group of its own")
    # pytest's own directories are closed to other users.
    directory = Path("/tmp", f"bacalhau-jupyter-test-{node.options.node_id}")
    directory.mkdir()
    os.chown(directory, uid, uid)
    arguments = [
        str(directory),
        docker_engine,
        node.options.node_id,
        busybox_image,
        str(uid),
        str(socket.st_gid),
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN_AS_USER, *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "secret\nFalse\n", done.stderr
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)


async def test_questions_before_the_probe_are_refused_in_one_sentence(tmp_path: Path) -> None:
    engine = DockerEngine(PluginOptions(node_id="n", data_dir=tmp_path), env={})
    with pytest.raises(EngineError, match="this node has found no Docker Engine"):
        await engine.existing()
    await engine.close()


class Pieces(io.RawIOBase):
    """A socket that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.rest, self.size = data, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(self.size, len(buffer))
        piece, self.rest = self.rest[:size], self.rest[size:]
        buffer[: len(piece)] = piece
        return len(piece)


LEAST = 1
"""Bytes that are asked for at a time at least; what a chunk's head takes is read in any case."""


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.binary(min_size=1, max_size=30)), size=st.integers(1, 40), cut=st.floats(0, 0.99))
def test_chunks_of_an_answer_are_joined_wherever_they_are_cut(
    parts: list[bytes], size: int, cut: float
) -> None:
    whole = chunked(parts)
    assert b"".join(map(bytes, _unchunked(io.BufferedReader(Pieces(whole, size)), LEAST))) == b"".join(parts)
    end = whole[: int(cut * (len(whole) - 4))]  # a few bytes of the last chunk's head must be missing
    got: list[bytes] = []
    with pytest.raises(ConnectionError, match="ended early"):
        got.extend(map(bytes, _unchunked(io.BufferedReader(Pieces(end, size)), LEAST)))
    assert b"".join(parts).startswith(b"".join(got))


@pytest.mark.parametrize("size", [1000, 70_000, 1 << 20])
def test_chunks_larger_than_what_is_read_at_a_time_come_in_pieces(size: int) -> None:
    parts = [bytes([number]) * 40_000 for number in range(20)]
    pieces = _unchunked(io.BufferedReader(Pieces(chunked(parts), size)), 1 << 16)
    assert b"".join(map(bytes, pieces)) == b"".join(parts)


@pytest.mark.parametrize(
    "answer", [b"hello\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5" * 100_000, b"2\r\nhello\r\n"]
)
def test_what_is_not_chunked_is_refused(answer: bytes) -> None:
    with pytest.raises(ConnectionError, match="not chunked properly"):
        list(_unchunked(io.BufferedReader(Pieces(answer, 1 << 20)), LEAST))


@pytest.mark.parametrize(
    ("command", "is_reported"), [(["tail", "/dev/zero"], True), (["sh", "-c", "kill -9 $$; exit 137"], False)]
)
async def test_an_out_of_memory_kill_is_known_from_the_engines_events(
    node: Node, api: Any, busybox_image: str, command: list[str], is_reported: bool
) -> None:
    # Under load a container's state misses one such kill in ten.
    limit = 16 << 20
    config = {
        "Image": busybox_image,
        "Cmd": command,
        "HostConfig": {"Memory": limit, "MemorySwap": limit},
    }
    container = api.create_container_from_config(config)["Id"]
    try:
        api.start(container)
        assert api.wait(container, timeout=60)["StatusCode"] == 137
        daemon = node.engine.connection.daemon
        started = api.inspect_container(container)["State"]["StartedAt"]
        assert await asyncio.to_thread(daemon.ran_out_of_memory, container, started) is is_reported
    finally:
        api.remove_container(container, force=True)


def test_podman_is_the_same_engine_though_it_names_itself_anew_each_time() -> None:
    def identity(
        number: int, root: str = "/var/lib/containers/storage", component: str = "Podman Engine"
    ) -> str:
        version = {"Components": [{"Name": component}], "ApiVersion": "1.41"}
        info = {"ID": f"id-{number}", "Name": "lab", "DockerRootDir": root}
        endpoint = Endpoint("unix:///run/podman.sock", "a test")
        return Daemon(SimpleNamespace(api_version="1.41"), endpoint, version, info).identity

    assert identity(1) == identity(2)
    assert identity(1) != identity(1, "/home/alice/.local/share/containers/storage")
    assert identity(1, component="Engine") != identity(2, component="Engine")

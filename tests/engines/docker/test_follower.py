"""Following containers live, and again after the node or its connection was cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.models.errors import EngineError, IOFailure, NetworkFailure, ServiceUnavailable
from bacalhau_jupyter.plugins.engine import EndReason
from bacalhau_jupyter.plugins.logfile import read_frames
from tests.engines.docker.conftest import UNTIL_LET_GO, Node, output_of
from tests.engines.docker.proxy import Proxy
from tests.engines.docker.proxy import proxy as proxy

pytestmark = pytest.mark.usefixtures("no_leaks")

# Counts on both streams, as fast as it can, with a line that the daemon's log splits (over 16 KiB); what is done to it
# is done before its end, also on a slow machine.
COUNT = (
    "i=0; while [ $i -lt 1500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); if [ $i -eq 700 ]; then "
    "head -c 40000 /dev/zero | tr '\\0' x; echo; " + UNTIL_LET_GO + "; fi; done; printf tail; printf tail >&2"
)
OUT = "".join(f"out {i}\n" + ("x" * 40000 + "\n" if i == 699 else "") for i in range(1500)) + "tail"
ERR = "".join(f"err {i}\n" for i in range(1500)) + "tail"


async def until(path: Path, words: str, timeout_s: float = 60) -> None:
    """Wait until ``words`` were printed."""
    deadline = time.monotonic() + timeout_s
    while words not in output_of(path)[0]:
        assert time.monotonic() < deadline, f"{words!r} was not printed"
        await asyncio.sleep(0.002)


async def test_a_line_is_in_the_log_before_there_is_another(node: Node, python_image: str) -> None:
    """The program prints a line when the one before was seen: a stream that waits for more would wait for ever."""
    code = (
        "import os, time\nfor number in range(20):\n print(time.time_ns(), flush=True)\n"
        " while not os.path.exists(f'/outputs/{number}'): time.sleep(0.005)"
    )
    request = node.request(
        {"Image": python_image, "Parameters": ["python3", "-c", code]}, outputs={"outputs": "/outputs"}
    )
    await node.engine.start(request)
    seen = offset = 0
    async with asyncio.timeout(60):
        while seen < 20:
            for frame in read_frames(request.log_path, offset):
                (printed,) = frame.data.split()
                # Docker's own time, not ours.
                assert int(printed) <= frame.time_ns <= time.time_ns()
                (request.outputs[0].path / str(seen)).touch()
                seen += 1
                offset = frame.next_offset
            await asyncio.sleep(0.001)
    await node.engine.wait(request.execution.id)
    await node.engine.clean(request.execution.id)


async def test_a_task_that_ended_while_nobody_looked_is_collected(
    node: Node, api: Any, busybox_image: str
) -> None:
    script = "until [ -e /outputs/go ]; do sleep 0.02; done; echo late; exit 3"
    request = node.request(
        {"Image": busybox_image, "Parameters": ["sh", "-c", script]}, outputs={"outputs": "/outputs"}
    )
    await node.engine.start(request)
    await node.engine.close()
    assert not output_of(request.log_path)[2]
    (request.outputs[0].path / "go").touch()
    (container,) = node.containers()
    await asyncio.to_thread(api.wait, container["Id"])
    restarted = node.another()
    await restarted.probe()
    assert await restarted.attach(request)
    outcome = await restarted.wait(request.execution.id)
    assert (outcome.reason, outcome.exit_code) == (EndReason.EXITED, 3)
    assert output_of(request.log_path) == ("late\n", "", True)
    await restarted.close()
    # And once more: the log has its end frame, and must not get another.
    again = node.another()
    await again.probe()
    assert await again.attach(request)
    assert (await again.wait(request.execution.id)).exit_code == 3
    assert output_of(request.log_path) == ("late\n", "", True)
    await again.clean(request.execution.id)
    assert not await again.attach(request)
    await again.close()


async def test_closing_leaves_the_task_alive_and_raises_for_callers_that_wait(
    node: Node, busybox_image: str
) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["sleep", "60"]})
    await node.engine.start(request)
    waiting = asyncio.create_task(node.engine.wait(request.execution.id))
    await asyncio.sleep(0)
    await asyncio.wait_for(node.engine.close(), 60)
    with pytest.raises(ServiceUnavailable):
        await waiting
    (container,) = node.containers()
    assert container["State"]["Running"]


NODE_THAT_DIES = """
import asyncio, msgspec, sys
from pathlib import Path
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.docker import DockerEngine
from tests.engines.docker.conftest import Node

async def main(directory, url, node_id, image, command, identifier):
    options = PluginOptions(node_id=node_id, data_dir=Path(directory))
    node = Node(DockerEngine(options, env={"DOCKER_HOST": url}), Path(directory), url, options)
    await node.engine.probe()
    request = node.request({"Image": image, "Parameters": ["sh", "-c", command]}, identifier=identifier)
    await node.engine.start(request)
    await node.engine.wait(identifier)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_node_that_is_killed_continues_with_its_log_without_loss_or_doubles(
    node: Node, busybox_image: str, docker_engine: str
) -> None:
    identifier = "e-11111111-1111-1111-1111-111111111111"
    arguments = [str(node.directory), docker_engine, node.options.node_id, busybox_image, COUNT, identifier]
    child = subprocess.Popen(
        [sys.executable, "-c", NODE_THAT_DIES, *arguments], cwd=Path(__file__).parents[3]
    )
    log = node.directory / identifier / "log"
    try:
        await until(log, "out 300\n")
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not output_of(log)[2]
    (node.directory / identifier).rename(node.directory / "kept")
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", COUNT]}, identifier=identifier)
    (node.directory / "kept" / "log").rename(request.log_path)
    assert await node.engine.attach(request)
    node.let_go()
    assert (await node.engine.wait(identifier)).exit_code == 0
    stdout, stderr, ended = output_of_all(request.log_path)
    assert stdout == OUT
    assert stderr == ERR
    assert ended
    await node.engine.clean(identifier)


def output_of_all(path: Path) -> tuple[str, str, bool]:
    texts: dict[int, bytes] = {1: b"", 2: b"", 4: b""}
    offset, ends = 0, 0
    while frames := list(read_frames(path, offset)):
        for frame in frames:
            texts[frame.stream] += frame.data
            ends += frame.stream == 4
        offset = frames[-1].next_offset
    return texts[1].decode(), texts[2].decode(), ends == 1


async def proxied(node: Node, proxy: Proxy) -> DockerEngine:
    engine = node.another({"DOCKER_HOST": f"unix://{proxy.path}"})
    assert (await engine.probe()).available
    return engine


async def test_a_connection_that_is_cut_is_made_again_without_loss_or_doubles(
    node: Node, busybox_image: str, proxy: Proxy
) -> None:
    engine = await proxied(node, proxy)
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", COUNT]})
    await engine.start(request)
    await until(request.log_path, "out 100\n")
    await proxy.down()
    await proxy.up()
    await until(request.log_path, "out 699\n")
    await proxy.down()
    await proxy.up()
    await asyncio.to_thread(node.let_go)
    assert (await asyncio.wait_for(engine.wait(request.execution.id), 60)).exit_code == 0
    assert output_of_all(request.log_path) == (OUT, ERR, True)
    await engine.clean(request.execution.id)
    await engine.close()


async def test_an_engine_that_stays_away_ends_the_wait_with_a_reason(
    node: Node, busybox_image: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.patience.PATIENCE_S", 1.0)
    engine = await proxied(node, proxy)
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", "echo up; sleep 60"]})
    await engine.start(request)
    await until(request.log_path, "up\n")
    await proxy.down()
    outcome = await asyncio.wait_for(engine.wait(request.execution.id), 60)
    assert outcome.reason is EndReason.ERROR
    assert isinstance(outcome.error, NetworkFailure)
    assert outcome.error.retryable
    assert output_of(request.log_path)[2], "a reader of the log would wait for ever"
    with pytest.raises(NetworkFailure, match="does not answer"):
        engine.connection.daemon.check_reachable()
    await proxy.up()
    await engine.close()


async def test_a_container_that_another_program_removes_is_an_error_with_that_reason(
    node: Node, api: Any, busybox_image: str, proxy: Proxy
) -> None:
    engine = await proxied(node, proxy)
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", "echo up; sleep 60"]})
    await engine.start(request)
    await until(request.log_path, "up\n")
    # Nobody looks while it goes, so that "it was killed" can't be seen in between.
    await proxy.down()
    (container,) = node.containers()
    api.remove_container(container["Id"], force=True)
    await proxy.up()
    outcome = await asyncio.wait_for(engine.wait(request.execution.id), 60)
    assert outcome.reason is EndReason.ERROR
    assert isinstance(outcome.error, EngineError)
    assert "removed while it ran" in outcome.error.message
    assert output_of(request.log_path) == ("up\n", "", True)
    await engine.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB."""
    path = tmp_path / "tiny"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can't be mounted: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_a_disk_that_is_full_ends_the_task_and_not_the_node(
    node: Node, busybox_image: str, tiny_disk: Path
) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", "seq 100000; sleep 60"]})
    request.log_path.symlink_to(tiny_disk / "log")
    await node.engine.start(request)
    outcome = await asyncio.wait_for(node.engine.wait(request.execution.id), 60)
    assert outcome.reason is EndReason.ERROR
    assert isinstance(outcome.error, IOFailure)
    assert "no space left" in outcome.error.message.lower()
    assert node.containers() == []
    # What fitted is whole frames.
    assert "".join(f"{number}\n" for number in range(1, 100001)).startswith(output_of(request.log_path)[0])
    assert (await node.run({"Image": busybox_image, "Parameters": ["echo", "alive"]})).stdout == "alive\n"


async def test_many_short_tasks_never_lose_their_last_line(node: Node, busybox_image: str) -> None:
    async def one(number: int) -> str:
        done = await node.run(
            {"Image": busybox_image, "Parameters": ["sh", "-c", f"seq 200; echo last {number}"]}
        )
        return done.stdout.splitlines()[-1] + f" of {len(done.stdout.splitlines())}"

    for batch in range(4):
        numbers = range(batch * 8, batch * 8 + 8)
        assert await asyncio.gather(*map(one, numbers)) == [f"last {number} of 201" for number in numbers]

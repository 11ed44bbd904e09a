"""Output of short containers on a busy engine: every byte, once, and unchanged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.output.checkpoints import Checkpoint
from bacalhau_jupyter.engines.docker.output.follower import Follower
from bacalhau_jupyter.engines.docker.output.logs import LogCopier, Position
from bacalhau_jupyter.plugins.logfile import END, STDERR, STDOUT, read_frames
from tests.engines.docker.conftest import Node

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_leaks")]

JOBS = int(os.environ.get("BACALHAU_TEST_OUTPUT_JOBS", "60"))
"""How many short containers; 500 for figures."""
AT_ONCE = 4
BUSY = 2
# No newline anywhere, both streams; a moment later or at once; and lines with an unended one behind them.
SCRIPTS = {
    "one piece": (
        "head -c 10000 /dev/zero | tr '\\0' o; head -c 10000 /dev/zero | tr '\\0' e >&2",
        b"o" * 10000,
        b"e" * 10000,
    ),
    "lines and a tail": ("seq 300; sleep 0.2; printf last; printf erro >&2", None, b"erro"),
    "one word": ("printf word", b"word", b""),
}
LINES = b"".join(b"%d\n" % number for number in range(1, 301)) + b"last"


def printed(path: Path) -> tuple[bytes, bytes, int]:
    """Return both streams and how often the log ends."""
    streams, ends, offset = {STDOUT: b"", STDERR: b""}, 0, 0
    while frames := list(read_frames(path, offset)):
        for frame in frames:
            if frame.stream == END:
                ends += 1
            else:
                streams[frame.stream] += frame.data
        offset = frames[-1].next_offset
    return streams[STDOUT], streams[STDERR], ends


@pytest.fixture
def busy(api: Any, busybox_image: str) -> Iterator[None]:
    """Containers that print as fast as they can, so that the engine has something to do."""
    made = []
    for _ in range(BUSY):
        config = {
            "Image": busybox_image,
            "Cmd": ["sh", "-c", "while :; do seq 2000; usleep 20000; done"],
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "local", "Config": {}}},
        }
        made.append(api.create_container_from_config(config)["Id"])
        api.start(made[-1])
    yield
    for container in made:
        api.remove_container(container, force=True)


async def wrong_outputs(node: Node, image: str, jobs: int) -> tuple[int, list[str]]:
    """Run short containers; return the bytes that are missing or too many, and which jobs that happened to."""
    wrong, bytes_wrong = list[str](), 0
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        nonlocal bytes_wrong
        name = list(SCRIPTS)[number % len(SCRIPTS)]
        script, stdout, stderr = SCRIPTS[name]
        async with gate:
            request = node.request({"Image": image, "Parameters": ["sh", "-c", script]})
            await node.engine.start(request)
            await node.engine.wait(request.execution.id)
            streams = printed(request.log_path)
            await node.engine.clean(request.execution.id)
        expected = (LINES if stdout is None else stdout, stderr, 1)
        if streams != expected:
            wrong.append(name)
            bytes_wrong += sum(abs(len(a) - len(b)) for a, b in zip(streams[:2], expected[:2], strict=True))

    await asyncio.gather(*map(one, range(jobs)))
    return bytes_wrong, wrong


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_short_containers_on_a_busy_engine_lose_and_double_no_byte(
    node: Node, busybox_image: str, busy: None
) -> None:
    assert await wrong_outputs(node, busybox_image, JOBS) == (0, [])


@pytest.mark.slow
async def test_the_end_of_a_followed_stream_alone_would_lose_output(
    node: Node, busybox_image: str, busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: without the last read, bytes are missing on this engine."""
    monkeypatch.setattr(Follower, "_copy_rest", lambda *_: None)
    bytes_wrong, wrong = 0, list[str]()
    for _ in range(5):
        bytes_wrong, wrong = await wrong_outputs(node, busybox_image, 24)
        if wrong:
            break
    else:
        pytest.skip("this engine's followed streams are complete")
    assert bytes_wrong > 0


@pytest.mark.slow
async def test_a_node_that_restarts_again_and_again_loses_and_doubles_no_byte(
    node: Node, busybox_image: str, busy: None
) -> None:
    body = "echo out $i; printf '%s-' $i >&2; i=$((i+1)); usleep 30000"
    script = f"i=0; while [ $i -lt 60 ]; do {body}; done; printf tail"
    stdout = b"".join(b"out %d\n" % number for number in range(60)) + b"tail"
    stderr = b"".join(b"%d-" % number for number in range(60))
    requests = [node.request({"Image": busybox_image, "Parameters": ["sh", "-c", script]}) for _ in range(6)]
    for request in requests:
        await node.engine.start(request)
    await node.engine.close()
    for _ in range(4):
        restarted = node.another()
        assert (await restarted.probe()).available
        for request in requests:
            assert await restarted.attach(request)
        await asyncio.wait_for(a_little_more(requests[0].log_path), 60)
        await restarted.close()
    last = node.another()
    await last.probe()
    for request in requests:
        assert await last.attach(request)
        await last.wait(request.execution.id)
        assert printed(request.log_path) == (stdout, stderr, 1)
        await last.clean(request.execution.id)
    await last.close()


async def a_little_more(path: Path) -> None:
    """Wait until a log has grown, or has its end."""
    before, _, ends = printed(path)
    async with asyncio.timeout(60):
        while not ends and len(printed(path)[0]) < len(before) + 20 and not printed(path)[2]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


BYTES = "printf '\\377\\376'; i=0; while [ $i -lt 9000 ]; do printf '\\303\\251'; i=$((i+1)); done; echo"


async def test_bytes_that_are_not_utf_8_come_out_as_they_were_printed(node: Node, busybox_image: str) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["sh", "-c", BYTES]})
    await node.engine.start(request)
    await node.engine.wait(request.execution.id)
    (container,) = node.containers()
    assert printed(request.log_path)[0] == b"\xff\xfe" + "é".encode() * 9000 + b"\n"
    assert container["HostConfig"]["LogConfig"] == {
        "Type": "local",
        "Config": {"max-size": "4g", "max-file": "2", "compress": "false"},
    }
    await node.engine.clean(request.execution.id)


async def test_an_engine_without_the_local_driver_changes_bytes_that_are_not_utf_8(
    node: Node, busybox_image: str
) -> None:
    """The control of the test above, and what is left to such an engine: text is whole."""
    engine: DockerEngine = node.engine
    engine.connection.daemon.log_drivers = frozenset({"json-file"})
    done = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", BYTES]})
    assert done.stdout.startswith("\ufffd\ufffd")
    text = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", "echo é; printf è"]})
    assert text.stdout == "é\nè"


def test_a_log_that_is_kept_in_full_is_not_read_once_more(tmp_path: Path) -> None:
    position = Position()
    assert not position.full
    position.written = {STDOUT: 1_000_000_000, STDERR: 1_000_000_000}
    assert position.full


async def test_the_last_read_begins_at_a_checkpoint(
    node: Node, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Checkpoint] = []
    copy = LogCopier.copy

    def noted(self: LogCopier, chunks: Any, place: Checkpoint | None = None) -> None:
        assert place is not None
        places.append(Checkpoint(place.since_ms, dict(place.received)))
        copy(self, chunks, place)

    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.checkpoints.EVERY_MS", 100)
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.output.checkpoints.MARGIN_MS", 300)
    monkeypatch.setattr(LogCopier, "copy", noted)
    script = "i=0; while [ $i -lt 30 ]; do echo out $i; i=$((i+1)); usleep 50000; done; printf tail"
    done = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", script]})
    assert done.stdout == "".join(f"out {number}\n" for number in range(30)) + "tail"
    assert places[0].since_ms == 0
    assert places[-1].since_ms > 0
    assert 0 < places[-1].received[STDOUT] < len(done.stdout)

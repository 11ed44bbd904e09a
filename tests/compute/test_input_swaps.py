"""A directory is swapped while a slow second input keeps its job waiting: a whole compute node over real engines.

The attack is the one that worked: a job with the right to write in the parent renames the directory and puts a link
there. What happens when is decided by the slow server: it tells when it was asked, and waits until the swap is done.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import engine as process_engine
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.sources.local import LocalDirectorySource
from bacalhau_jupyter.sources.url import UrlDownloadSource
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from tests.compute.makers import an_input, make_execution
from tests.compute.real import ENGINES, LONG_S, RealBench, begin, ends, image_for, running

pytestmark = pytest.mark.process

SECRET = "the-secret-of-the-host"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"


class SlowServer:
    """Sends the length of a file at once, and its content when it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._answer, "127.0.0.1", 0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        if head.startswith(b"GET"):
            self.asked.set()
            await self.go.wait()
            writer.write(b"slow")
            await writer.drain()
        writer.close()


@pytest.fixture
async def slow() -> AsyncIterator[tuple[SlowServer, str]]:
    server = SlowServer()
    listener = await server.serve()
    yield server, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/slow.bin"
    server.go.set()
    listener.close()
    await listener.wait_closed()


@pytest.fixture
def place(open_place: Path) -> Path:
    """``shared/wanted/data``, and ``private/data``, which is not shared; open to the users that jobs run as."""
    for name, text in (("shared/wanted", "allowed"), ("private", SECRET)):
        (open_place / name).mkdir(parents=True)
        (open_place / name / "data").write_text(text)
    (open_place / "shared").chmod(0o777)
    return open_place


@pytest.fixture(params=ENGINES)
async def node(
    request: pytest.FixtureRequest, place: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealBench]:
    it = RealBench(place / "node", request.param, image_for(request, monkeypatch))
    settings = {
        "Compute.AllowListedLocalPaths": [f"{place}/shared:rw", f"{place}/shared/*:rw"],
        ADDRESSES: ["127.0.0.1"],
    }
    options = PluginOptions("n-test", it.settings.data_dir, settings.get, hidden=(it.settings.data_dir,))
    it.extra_sources = {
        "localdirectory": LocalDirectorySource(options),
        "urldownload": UrlDownloadSource(options),
    }
    async with running(it, it.kind):
        yield it


def local(path: Path, target: str, *, writable: bool = False) -> InputSource:
    return an_input("localDirectory", target, SourcePath=str(path), ReadWrite=writable)


async def until_there(node: RealBench, path: Path) -> None:
    """Wait for a file that a running job writes; a job that ended without it says why."""
    async with asyncio.timeout(LONG_S):
        while not path.exists():
            assert node.peer.inbox.empty(), node.peer.inbox.get_nowait()
            await asyncio.sleep(0.02)


async def swapped_while_waiting(node: RealBench, slow: tuple[SlowServer, str], place: Path) -> str:
    """Let one job swap what another one waits to mount; return what became of the latter."""
    server, url = slow
    swap = (
        "cd /data; echo > up; until [ -e go ]; do sleep 0.05; done; "
        f"mv wanted old && ln -s {place}/private wanted && echo > done"
    )
    await begin(node, node.shell(swap, input_sources=[local(place / "shared", "/data", writable=True)]))
    await until_there(node, place / "shared/up")
    inputs = [
        local(place / "shared/wanted", "/inputs/wanted"),
        an_input("urlDownload", "/inputs/slow", URL=url),
    ]
    victim = await begin(node, node.shell("cat /inputs/wanted/data", input_sources=inputs))
    async with asyncio.timeout(LONG_S):
        await server.asked.wait()
    (place / "shared/go").touch()
    await until_there(node, place / "shared/done")
    server.go.set()
    results = {}
    for _ in range(2):
        result = await ends(node)
        results[result.execution_id] = result
    ended = results[victim.id]
    if isinstance(ended, RunResult):
        assert ended.run_command_result is not None
        return ended.run_command_result.stdout
    assert isinstance(ended, ComputeError)
    return str(ended.events[0].message if ended.events else ended)


async def test_a_directory_that_another_job_swaps_while_its_job_waits_is_not_mounted(
    node: RealBench, slow: tuple[SlowServer, str], place: Path
) -> None:
    if node.kind == "docker":
        # The engine resolves the path itself, so what jobs could swap is not offered to it at all.
        task = node.shell("true", input_sources=[local(place / "shared/wanted", "/inputs")])
        bid = await node.peer.bid(make_execution(task))
        assert not bid.accepted
        assert "jobs may write to" in str(bid.events)
        return
    outcome = await swapped_while_waiting(node, slow, place)
    assert SECRET not in outcome
    assert "the input /inputs/wanted is not mounted: something else lies at" in outcome


async def test_the_attack_works_on_a_node_that_resolves_the_path_again(
    node: RealBench, slow: tuple[SlowServer, str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    if node.kind == "docker":
        monkeypatch.setattr("bacalhau_jupyter.sources.local._check_movable", lambda *_: None)
        monkeypatch.setattr(
            "bacalhau_jupyter.engines.docker.launch.check_inputs", lambda inputs, _component: list(inputs)
        )
    else:

        def resolved(inputs: Sequence[InputMount], _component: str, **_: bool) -> list[InputMount]:
            mounts = []
            for mount in inputs:
                path = Path(os.path.realpath(mount.path))
                opened = beneath.open_path(path)
                mounts.append(replace(mount, path=path, checked=beneath.file_id(opened)))
                os.close(opened)
            return mounts

        monkeypatch.setattr(process_engine, "check_inputs", resolved)
    assert await swapped_while_waiting(node, slow, place) == SECRET

"""A job on a second machine, over ssh or TLS: the way breaks in every phase of it, and the job is whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.engines.docker.link.plain import PlainLink
from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.wire.messages import RunResult
from tests.compute.far import FarBench, far_bench
from tests.compute.makers import an_input
from tests.services.far_host import FarHost
from tests.services.far_users import Way
from tests.services.leaks import command_line, is_ssh

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.timeout(1200),
]
SIZE = 60 << 20
LINES = 3000
PROGRAM = (
    "echo begun >> /outputs/count; wc -c < /inputs/big; echo up; i=0; "
    f"while [ $i -lt {LINES} ]; do i=$((i+1)); echo $i; [ $((i % 300)) = 0 ] && sleep 1; done; "
    f"head -c {SIZE} /dev/zero > /outputs/big; printf tail; printf tail >&2"
)


LONG_CUTS = [0, 8, pytest.param(25, marks=pytest.mark.long), pytest.param(75, marks=pytest.mark.long)]
"""Seconds that packets vanish; 0: ssh is killed instead."""


@asynccontextmanager
async def node_over_ssh(far_host: FarHost, tmp_path: Path) -> AsyncIterator[FarBench]:
    """Run a node whose engine is that of the second machine."""
    # The path of a socket is short.
    runtime = Path(tempfile.mkdtemp(prefix="bj-"))
    config = far_host.users.config(tmp_path / "ssh_config", gpu1=Way())
    link = SshLink("gpu1", SshTarget("gpu1", config=config), runtime_dir=runtime, clock=SystemClock())
    image = far_host.busybox_image()
    async with far_bench(tmp_path, far_host.engine_url, image, link) as it:
        yield it
    shutil.rmtree(runtime)


@asynccontextmanager
async def node_over_tls(far_host: FarHost, tmp_path: Path) -> AsyncIterator[FarBench]:
    """Run a node that uses the port of the second machine's engine."""
    files = far_host.certificates(tmp_path / "certificates")
    tls = Tls(files / "ca.pem", files / "cert.pem", files / "key.pem", verify=True)
    link = PlainLink("gpu1", PlainTarget(far_host.tls_url, tls), clock=SystemClock())
    async with far_bench(tmp_path, far_host.engine_url, far_host.busybox_image(), link) as it:
        yield it


@pytest.fixture
async def node(far_host: FarHost, tmp_path: Path) -> AsyncIterator[FarBench]:
    async with node_over_ssh(far_host, tmp_path) as it:
        yield it


@pytest.fixture
async def tls_node(far_host: FarHost, tmp_path: Path) -> AsyncIterator[FarBench]:
    async with node_over_tls(far_host, tmp_path) as it:
        yield it


def vanishing(far_host: FarHost, seconds: int) -> Callable[[], None]:
    """Return what lets packets vanish for a while."""

    def vanish() -> None:
        far_host.cut()
        try:
            # The length of the absence is what is tested.
            threading.Event().wait(seconds)
        finally:
            far_host.heal()

    return vanish


def kill_ssh() -> None:
    """Kill every ssh that belongs to this process."""
    for child in psutil.Process().children(recursive=True):
        if is_ssh(command_line(child)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)


async def goes_through(node: FarBench, break_off: Callable[[], object]) -> None:
    """Run a job whose way is broken while inputs are copied, while it runs, and while results are copied."""

    def fill(directory: Path) -> None:
        (directory / "big").write_bytes(os.urandom(1 << 20) * (SIZE >> 20))

    node.source.fill = fill
    execution = await node.begin(node.shell(PROGRAM, input_sources=[an_input()]))
    await node.reaches(execution, "copying inputs")
    await asyncio.to_thread(break_off)
    await node.prints(execution, "up\n")
    await asyncio.to_thread(break_off)
    await node.reaches(execution, "copying results")
    await asyncio.to_thread(break_off)
    result = await node.ends()
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert result.run_command_result.exit_code == 0
    files = node.publisher.published[execution.id]
    lines = "".join(f"{number}\n" for number in range(1, LINES + 1))
    assert files["stdout"] == f"{SIZE}\nup\n{lines}tail"
    assert files["stderr"] == "tail"
    assert files["outputs/count"] == "begun\n"
    assert len(files["outputs/big"]) == SIZE
    await node.idle()
    assert node.left() == []


async def test_ssh_is_killed_in_each_phase(node: FarBench) -> None:
    await goes_through(node, kill_ssh)


@pytest.mark.parametrize("seconds", LONG_CUTS[1:])
async def test_packets_vanish_for_a_while_in_each_phase(
    node: FarBench, far_host: FarHost, seconds: int
) -> None:
    await goes_through(node, vanishing(far_host, seconds))


@pytest.mark.parametrize("seconds", LONG_CUTS[1:])
async def test_packets_vanish_for_a_while_in_each_phase_over_tls(
    tls_node: FarBench, far_host: FarHost, seconds: int
) -> None:
    await goes_through(tls_node, vanishing(far_host, seconds))

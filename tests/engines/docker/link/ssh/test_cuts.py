"""A link that breaks: it says so, comes back by itself, and has nothing to do with what runs on the host."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import docker
import psutil
import pytest

from bacalhau_jupyter.models.records.hosts import HostState
from tests.engines.docker.link.conftest import Hosts, Watched
from tests.services.far_users import Way
from tests.services.leaks import command_line, is_ssh
from tests.services.waiting import lasts, until

pytestmark = pytest.mark.timeout(300)
READY, UNREACHABLE = HostState.READY, HostState.UNREACHABLE


def masters(hosts: Hosts) -> list[int]:
    """Return the processes that are connected to the far machine."""
    running = [(child.pid, command_line(child)) for child in psutil.Process().children(recursive=True)]
    return [
        pid
        for pid, words in running
        if is_ssh(words) and "-M" in words and str(hosts.runtime_dir) in " ".join(words)
    ]


def name_of(watched: Watched) -> str:
    engine = docker.APIClient(base_url=watched.link.endpoint.url, timeout=60)
    try:
        return str(engine.info()["Name"])
    finally:
        engine.close()


class Follower:
    """Reads the log of a container with a terminal until the stream ends."""

    def __init__(self, watched: Watched, container: str) -> None:
        self.data = bytearray()
        path = watched.link.endpoint.url.removeprefix("unix://")
        self._task = asyncio.create_task(self._read(path, container))

    async def _read(self, path: str, container: str) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        query = f"/containers/{container}/logs?follow=1&stdout=1"
        writer.write(f"GET {query} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        try:
            await reader.readuntil(b"\r\n\r\n")
            while piece := await reader.read(65536):
                self.data += piece
        except OSError:
            pass
        finally:
            writer.close()

    async def grown(self, beyond: int) -> None:
        """Wait until more was read."""
        await until(lambda: len(self.data) > beyond)

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(60):
            await self._task


def start_counter(watched: Watched, image: str) -> str:
    engine = docker.APIClient(base_url=watched.link.endpoint.url, timeout=60)
    try:
        command = [
            "sh",
            "-c",
            "i=0; while :; do echo $i; i=$((i+1)); usleep 20000 2>/dev/null || sleep 0.02; done",
        ]
        container = str(engine.create_container(image, command, tty=True)["Id"])
        engine.start(container)
        return container
    finally:
        engine.close()


async def test_a_killed_ssh_is_replaced_at_once(hosts: Hosts) -> None:
    watched = await hosts.ready()
    for _ in range(3):
        before = len(watched.statuses)
        (pid,) = masters(hosts)
        os.kill(pid, signal.SIGKILL)
        lost = await watched.comes_to(UNREACHABLE, since=before)
        assert lost.problem == "the ssh connection to gpu1 has ended"
        await watched.comes_to(READY, since=before)
        assert await asyncio.to_thread(name_of, watched) == hosts.far_host.name


async def test_the_far_server_ends_the_connection(hosts: Hosts) -> None:
    watched = await hosts.ready()
    before = len(watched.statuses)
    hosts.far_host.shell("for pid in $(pgrep -f '[s]shd: alice'); do kill $pid; done 2>/dev/null; true")
    await watched.comes_to(UNREACHABLE, since=before)
    await watched.comes_to(READY, since=before)


async def test_packets_that_vanish_for_a_while_break_nothing(hosts: Hosts) -> None:
    image = hosts.far_host.busybox_image()
    watched = await hosts.ready()
    container = await asyncio.to_thread(start_counter, watched, image)
    follower = Follower(watched, container)
    await follower.grown(100)
    before = len(watched.statuses)
    hosts.far_host.cut()
    await lasts(8)
    hosts.far_host.heal()
    await follower.grown(len(follower.data) + 100)
    assert watched.statuses[before:] == []
    hosts.far_host.shell(f"docker kill {container}")
    await follower.ended()
    lines = follower.data.split()
    assert lines == [str(number).encode() for number in range(len(lines))]


async def _cut_for(hosts: Hosts, seconds: float) -> None:
    image = hosts.far_host.busybox_image()
    watched = await hosts.ready()
    container = await asyncio.to_thread(start_counter, watched, image)
    follower = Follower(watched, container)
    await follower.grown(100)
    before = len(watched.statuses)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    hosts.far_host.cut()
    lost = await watched.comes_to(UNREACHABLE, since=before)
    assert lost.problem.startswith("gpu1 does not answer since ")
    # A stream that is silent or not: it ends with the link, so that whoever reads it can look.
    await follower.ended()
    await lasts(seconds - (loop.time() - begun))
    states = {status.state for status in watched.statuses[before:]}
    assert states == {UNREACHABLE}
    assert len({status.since_ns for status in watched.statuses[before:]}) == 1
    hosts.far_host.heal()
    await watched.comes_to(READY, since=before)
    assert await asyncio.to_thread(name_of, watched) == hosts.far_host.name
    # What runs there has gone on.
    assert hosts.far_host.shell(f"docker inspect -f '{{{{.State.Running}}}}' {container}").strip() == "true"


async def test_a_cut_that_ssh_notices_makes_the_host_unreachable_until_it_is_over(hosts: Hosts) -> None:
    await _cut_for(hosts, 25)


@pytest.mark.long
async def test_a_long_cut_is_no_different(hosts: Hosts) -> None:
    await _cut_for(hosts, 75)


async def test_a_host_that_is_switched_off_and_on(hosts: Hosts) -> None:
    watched = await hosts.ready()
    before = len(watched.statuses)
    hosts.far_host.kill()
    await watched.comes_to(UNREACHABLE, since=before)
    hosts.far_host.start()
    await watched.comes_to(READY, since=before)
    assert await asyncio.to_thread(name_of, watched) == hosts.far_host.name


async def test_an_engine_that_stops_is_noticed_without_a_call(hosts: Hosts) -> None:
    watched = await hosts.ready()
    before = len(watched.statuses)
    hosts.far_host.stop_docker()
    lost = await watched.comes_to(UNREACHABLE, since=before)
    assert lost.problem == "the Docker Engine on gpu1 does not answer"
    assert lost.is_engine_off
    hosts.far_host.start_docker()
    await watched.comes_to(READY, since=before)


async def test_an_engine_that_hangs_is_found_by_whoever_suspects_it(hosts: Hosts) -> None:
    watched = await hosts.ready()
    before = len(watched.statuses)
    # Nothing is wrong: nothing is statuses.
    await asyncio.to_thread(watched.link.broke, "a call has failed")
    hosts.far_host.shell("kill -STOP $(cat /run/docker.pid)")
    try:
        await asyncio.to_thread(watched.link.broke, "a call has failed")
        lost = await watched.comes_to(UNREACHABLE, since=before)
        assert lost.problem == "the Docker Engine on gpu1 does not answer"
        assert not lost.is_engine_off
    finally:
        hosts.far_host.shell("kill -CONT $(cat /run/docker.pid)")
    await watched.comes_to(READY, since=before)


async def test_an_engine_behind_the_docker_program_is_watched_as_well(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no")
    watched = await hosts.ready(Way(port=port))
    before = len(watched.statuses)
    (pid,) = masters(hosts)
    os.kill(pid, signal.SIGKILL)
    await watched.comes_to(UNREACHABLE, since=before)
    await watched.comes_to(READY, since=before)
    assert await asyncio.to_thread(name_of, watched) == hosts.far_host.name
    assert Path(watched.link.endpoint.url.removeprefix("unix://")).is_socket()


async def test_a_link_of_a_host_that_is_away_is_closed_at_once(hosts: Hosts) -> None:
    watched = await hosts.ready()
    hosts.far_host.cut()
    async with asyncio.timeout(60):
        await watched.link.close()
    hosts.far_host.heal()

"""A link over ssh to a real machine: it gets there, whatever a person's configuration says, and leaves nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from bacalhau_jupyter.engines.docker.link.ssh.places import places_for
from bacalhau_jupyter.engines.docker.link.target import DIAL_STDIO, SshTarget
from bacalhau_jupyter.models.errors import NetworkFailure, NotImplementedHere
from bacalhau_jupyter.models.records.hosts import HostState
from tests.engines.docker.link.conftest import Hosts, Watched
from tests.services.common import wait_until
from tests.services.far_users import PASSPHRASE, Way

pytestmark = pytest.mark.timeout(240)

AROUND = "ssh, through docker system dial-stdio"
DISTURBING = (
    "LocalForward 22 localhost:8888",
    "RemoteForward 22 localhost:9999",
    "RemoteCommand sleep 1000",
    "RequestTTY force",
    "ControlMaster auto",
    "ControlPath {directory}/%r@%h",
    "ControlPersist yes",
    "PermitLocalCommand yes",
    "LocalCommand touch {directory}/touched",
    "LogLevel QUIET",
    "ExitOnForwardFailure yes",
    "ForkAfterAuthentication yes",
)


def engine_of(watched: Watched) -> str:
    """Return the name of the machine whose engine answers at a link's endpoint."""
    engine = docker.APIClient(base_url=watched.link.endpoint.url, timeout=60)
    try:
        return str(engine.info()["Name"])
    finally:
        engine.close()


def run_in_container(watched: Watched, image: str, command: str) -> str:
    engine = docker.DockerClient(base_url=watched.link.endpoint.url, timeout=60)
    try:
        printed: bytes = engine.containers.run(
            image, ["sh", "-c", command], remove=True, network_disabled=True
        )
        return printed.decode()
    finally:
        engine.close()


async def test_a_container_runs_there_through_a_forwarded_socket(hosts: Hosts) -> None:
    image = hosts.far_host.busybox_image()
    watched = await hosts.ready()
    assert watched.link.status.way == "ssh"
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
    assert await asyncio.to_thread(run_in_container, watched, image, "echo $((6 * 7))") == "42\n"
    forwarded = Path(watched.link.endpoint.url.removeprefix("unix://"))
    assert forwarded.stat().st_mode & 0o077 == 0


async def test_a_script_runs_there_and_what_it_prints_comes_back(hosts: Hosts) -> None:
    watched = await hosts.ready()
    printed = await watched.link.run("id -un; hostname; printf 'no line end'", 60)
    assert printed.split("\n") == ["alice", hosts.far_host.name, "no line end"]
    with pytest.raises(NetworkFailure, match="gpu1 has not answered within 1 s"):
        await watched.link.run("sleep 1000", 1)


async def test_a_persons_configuration_does_not_disturb(hosts: Hosts) -> None:
    lines = tuple(line.format(directory=hosts.directory) for line in DISTURBING)
    watched = await hosts.ready(Way(lines=lines))
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
    assert not (hosts.directory / "touched").exists()


async def test_a_login_shell_that_prints_does_not_disturb(hosts: Hosts) -> None:
    watched = await hosts.ready(Way(user="chatty"))
    assert await watched.link.run("echo only this", 60) == "only this\n"
    around = dataclasses.replace(hosts.target(Way(user="chatty")), through=DIAL_STDIO)
    watched = await hosts.ready(target=around)
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name


async def test_a_user_without_a_shell_still_has_the_socket(hosts: Hosts) -> None:
    watched = await hosts.ready(Way(user="nologin"))
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
    with pytest.raises(NotImplementedHere, match="gpu1 runs no commands for nologin: This account"):
        await watched.link.run("true", 60)


async def test_where_sockets_are_not_forwarded_the_docker_program_passes_them_on(hosts: Hosts) -> None:
    image = hosts.far_host.busybox_image()
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no")
    watched = await hosts.ready(Way(port=port))
    assert watched.link.status.way == AROUND
    assert await asyncio.to_thread(run_in_container, watched, image, "echo $((6 * 7))") == "42\n"


async def test_more_connections_than_a_server_allows_sessions_go_their_own_way(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no", MaxSessions="3")
    watched = await hosts.ready(Way(port=port))

    def hold_streams(count: int) -> list[str]:
        engines = [docker.APIClient(base_url=watched.link.endpoint.url, timeout=60) for _ in range(count)]
        streams = [engine.events(decode=True) for engine in engines]
        names = [str(engine.info()["Name"]) for engine in engines]
        for engine, stream in zip(engines, streams, strict=True):
            stream.close()
            engine.close()
        return names

    assert await asyncio.to_thread(hold_streams, 6) == [hosts.far_host.name] * 6


async def test_two_hundred_log_streams_pass_through_one_connection(hosts: Hosts) -> None:
    image = hosts.far_host.busybox_image()
    watched = await hosts.ready()
    path = watched.link.endpoint.url.removeprefix("unix://")
    engine = docker.APIClient(base_url=watched.link.endpoint.url, timeout=60)
    command = ["sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; seq 1 1000; sleep 1000"]
    container = (await asyncio.to_thread(engine.create_container, image, command))["Id"]
    await asyncio.to_thread(engine.start, container)
    request = f"GET /containers/{container}/logs?follow=1&stdout=1 HTTP/1.0\r\nHost: docker\r\n\r\n".encode()
    open_streams = asyncio.Semaphore(0)

    async def read_all() -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        open_streams.release()
        log = b""
        while log.count(b"\n") < 1000 and (piece := await reader.read(65536)):
            log += piece
        writer.close()
        return log

    async with asyncio.timeout(120):
        streams = [asyncio.create_task(read_all()) for _ in range(200)]
        for _ in streams:
            await open_streams.acquire()
        await asyncio.to_thread(hosts.far_host.shell, f"docker exec {container} touch /go")
        logs = await asyncio.gather(*streams)
    engine.close()
    assert {log.count(b"\n") for log in logs} == {1000}
    assert watched.link.status.state is HostState.READY


async def test_a_socket_elsewhere_can_be_named(hosts: Hosts) -> None:
    hosts.far_host.shell("mkdir -p /run/other && mv /run/docker.sock /run/other/engine.sock")
    try:
        watched = await hosts.ready(
            target=dataclasses.replace(hosts.target(Way()), socket="/run/other/engine.sock")
        )
        assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
    finally:
        hosts.far_host.shell("mv /run/other/engine.sock /run/docker.sock")


async def test_a_path_too_long_for_a_socket_is_none_of_the_persons_concern(
    hosts: Hosts, tmp_path: Path
) -> None:
    hosts.runtime_dir = tmp_path / ("long" * 30)
    watched = await hosts.ready()
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
    directory = places_for("gpu1", hosts.runtime_dir).directory
    await watched.link.close()
    assert not directory.exists()


async def test_what_a_killed_process_left_does_not_disturb(hosts: Hosts) -> None:
    """Sockets that nobody listens at, and a process that still does (as on systems where it can't be tied to ours)."""
    places = places_for("gpu1", hosts.runtime_dir)
    places.prepare()
    config = hosts.config(gpu1=Way())
    command = ["ssh", "-F", str(config), "-M", "-S", str(places.control), "-N", "-T", "-n", "gpu1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as stale:
        assert await asyncio.to_thread(wait_until, places.control.exists, timeout_s=60)
        places.socket.touch()
        watched = await hosts.ready()
        assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name
        assert await asyncio.to_thread(stale.wait, 60) is not None
    await watched.link.close()
    places.prepare()
    places.control.touch()
    await hosts.ready()


async def test_a_jump_is_made(hosts: Hosts) -> None:
    port = hosts.far_host.sshd()
    config = hosts.config(hop=Way(port=port), gpu1=Way(lines=("ProxyJump hop",)))
    watched = await hosts.ready(target=SshTarget("gpu1", config=config))
    assert await asyncio.to_thread(engine_of, watched) == hosts.far_host.name


def listens_at(path: Path) -> bool:
    """Whether connections are taken; a socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def test_an_agent_has_the_key_that_is_locked(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hosts.runtime_dir / "agent"
    helper = hosts.directory / "askpass"
    helper.write_text(f"#!/bin/sh\necho {PASSPHRASE}\n")
    helper.chmod(0o700)
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as agent:
        try:
            assert await asyncio.to_thread(wait_until, lambda: listens_at(path), timeout_s=60)
            env = {"SSH_AUTH_SOCK": str(path), "SSH_ASKPASS": str(helper), "SSH_ASKPASS_REQUIRE": "force"}
            key = hosts.far_host.users.locked_key
            subprocess.run(["ssh-add", "-q", str(key)], env={**env, "PATH": "/usr/bin:/bin"}, check=True)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
            watched = await hosts.ready(Way(key=key, lines=("IdentityAgent SSH_AUTH_SOCK",)))
            await watched.link.close()
        finally:
            agent.terminate()
    path.unlink(missing_ok=True)


CHILD = """
import asyncio, sys
from pathlib import Path
from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import SystemClock

async def main():
    config, runtime_dir = map(Path, sys.argv[1:])
    link = SshLink("gpu1", SshTarget("gpu1", config=config), runtime_dir=runtime_dir, clock=SystemClock())
    await link.start()
    await link.ready()
    print(link.endpoint.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_no_process_is_left_when_ours_is_killed(hosts: Hosts) -> None:
    config = hosts.config(gpu1=Way())
    command = [sys.executable, "-c", CHILD, str(config), str(hosts.runtime_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert (await asyncio.to_thread(child.stdout.readline)).startswith(b"unix://")
        assert str(hosts.runtime_dir) in _ssh_commands()
        child.send_signal(signal.SIGKILL)
    assert await asyncio.to_thread(
        wait_until, lambda: str(hosts.runtime_dir) not in _ssh_commands(), timeout_s=60
    )
    # Its control socket goes with it; what is left of the other one is removed by the next link.
    assert not places_for("gpu1", hosts.runtime_dir).control.exists()
    await hosts.ready()


def _ssh_commands() -> str:
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(command for command in commands if command.startswith(("ssh", "/usr/bin/ssh")))


async def test_a_link_that_was_closed_says_so_to_those_who_wait(hosts: Hosts) -> None:
    hosts.far_host.cut()
    watched = hosts.link()
    await watched.link.start()
    waiting = asyncio.create_task(watched.link.ready())
    await asyncio.sleep(0)
    await watched.link.close()
    with pytest.raises(NetworkFailure, match="the way to gpu1 was closed"):
        await waiting
    with pytest.raises(NetworkFailure):
        await watched.link.run("true", 5)
    assert watched.link.status.state is HostState.CONNECTING

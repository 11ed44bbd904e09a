"""The supervised NATS server: its start, its ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bacalhau_jupyter.lib.clock import process_start
from bacalhau_jupyter.models.errors import ConfigurationError, Conflict
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.door.loads import question
from bacalhau_jupyter.transport.server.door.responder import Responder
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from tests.services.waiting import until
from tests.transport.server.conftest import TOKEN, Servers

PATIENCE_S = 60

# Starts a server, says where, and waits to be killed.
NODE = """
import asyncio, sys
from pathlib import Path
from bacalhau_jupyter.transport.server.door.identities import MemoryIdentities
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from bacalhau_jupyter.transport.server.settings import NatsServerSettings

async def main():
    server = NatsServer(NatsServerSettings(Path(sys.argv[1]), "n-other"), MemoryIdentities())
    await server.start()
    print(server.pid, server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    return process_start(pid) is not None


async def restarted(server: NatsServer, before: int) -> None:
    await until(lambda: server.state.is_up and server.pid != before, PATIENCE_S)


async def test_a_started_server_lets_a_node_in_and_a_stopped_one_is_gone(servers: Servers) -> None:
    server = await servers.started()
    assert server.state.is_up
    assert server.state.place == server.url
    client = await servers.client(server.url, name="n-1", token=TOKEN)
    await client.settle()
    pid = server.pid
    await server.stop()
    assert not is_alive(pid)
    assert not server.state.is_up
    await server.stop()


async def test_the_port_of_the_last_start_is_used_again(servers: Servers) -> None:
    first = await servers.started()
    await first.stop()
    second = await servers.started()
    assert second.port == first.port


async def test_a_kept_port_that_somebody_took_is_replaced(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    first = await servers.started()
    await first.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        second = await servers.started()
    assert second.port != first.port
    assert f"port {first.port}, where nodes know this orchestrator, is in use" in caplog.text


async def test_a_configured_port_that_is_taken_is_told_with_its_key(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = servers.make(port=port)
        with pytest.raises(Conflict, match=f"Another program uses port {port} of 127.0.0.1") as caught:
            await server.start()
        assert "Orchestrator.Port" in caught.value.hint
        assert server.pid == 0
    await server.start()
    assert server.port == port


async def test_an_address_of_another_machine_is_told(servers: Servers) -> None:
    server = servers.make(host="192.0.2.7")
    with pytest.raises(
        ConfigurationError, match=r"Orchestrator.Host is 192.0.2.7, which is no address of this"
    ):
        await server.start()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"host": "0.0.0.0", "token": ""}, "Orchestrator.Host is 0.0.0.0, which other machines reach"),
        ({"port": 70000}, "Orchestrator.Port must be from 0 to 65535, not 70000"),
        ({"max_payload": 10}, "Orchestrator.MaxPayload must be from 1048576 to 67108864 bytes, not 10"),
        ({"tls_timeout_s": 0}, "Orchestrator.TLS.ServerTimeout must be 1 second at least, not 0"),
        ({"cert_file": Path("/nowhere/cert.pem")}, "Orchestrator.TLS.ServerKey is missing"),
        (
            {"cert_file": Path("/nowhere/cert.pem"), "key_file": Path("/nowhere/key.pem")},
            "Orchestrator.TLS.ServerCert can't be read: /nowhere/cert.pem",
        ),
    ],
)
async def test_a_setting_that_can_not_be_is_told_before_anything_starts(
    servers: Servers, changes: dict[str, Any], sentence: str
) -> None:
    server = servers.make(**changes)
    with pytest.raises(ConfigurationError) as caught:
        await server.start()
    assert sentence in caught.value.message
    assert not servers.settings.directory.exists()


async def test_a_server_that_is_killed_is_started_again_where_it_was(servers: Servers) -> None:
    server = await servers.started()
    pid, port = server.pid, server.port
    os.kill(pid, signal.SIGKILL)
    await restarted(server, pid)
    assert server.port == port
    await servers.client(server.url, name="n-1", token=TOKEN)


async def test_who_comes_back_before_the_door_is_watched_is_sent_away_at_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await servers.started()
    watch, early = Responder.open, list[asyncio.StreamReader]()

    async def late(responder: Responder, settings: NatsSettings) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        early.append(reader)
        stack.callback(writer.close)
        greeting = {"auth_token": TOKEN, "name": "n-early", "verbose": False, "lang": "x", "version": "1"}
        writer.write(b"CONNECT " + json.dumps(greeting).encode() + b"\r\nPING\r\n")
        async with asyncio.timeout(PATIENCE_S):
            while b"n-early" not in await server._bouncer._ask(question(acc="$G"), "PING"):
                pass
        await watch(responder, settings)

    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(Responder, "open", late)
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        await restarted(server, pid)
        (reader,) = early
        async with asyncio.timeout(PATIENCE_S):
            said = await reader.read()
        # The server's own verdict comes after its time limit, as a refusal.
        assert b"-ERR" not in said, said
        assert said.startswith(b"INFO ")
    await servers.client(server.url, name="n-early", token=TOKEN)


async def test_while_it_is_down_the_state_says_why_and_since_when(servers: Servers) -> None:
    server = await servers.started()
    before = server.state
    with contextlib.ExitStack() as stack:
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: not server.state.is_up, PATIENCE_S)
        # With its port taken it can't come back.
        await until(lambda: bind(stack, server.port), PATIENCE_S)
        await until(lambda: "uses port" in server.state.reason, PATIENCE_S)
        assert server.state.since_ns >= before.since_ns
    await until(lambda: server.state.is_up, PATIENCE_S)


def bind(stack: contextlib.ExitStack, port: int) -> bool:
    try:
        stack.enter_context(socket.create_server(("127.0.0.1", port)))
    except OSError:
        return False
    return True


async def test_a_server_that_hangs_is_ended_within_bounds(servers: Servers) -> None:
    server = await servers.started()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE_S):
        await server.stop()
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_killed_node_takes_its_server_with_it(servers: Servers, tmp_path: Path) -> None:
    with node(tmp_path / "link") as (process, pid, _):
        process.kill()
        process.wait(PATIENCE_S)
        await until(lambda: not is_alive(pid), PATIENCE_S)


async def test_a_server_that_an_earlier_run_left_is_ended_first(servers: Servers) -> None:
    """The record of a run that could not end its server: of one on another system, or whose thread lived on."""
    with node(servers.settings.directory) as (process, pid, port):
        process.send_signal(signal.SIGSTOP)
        server = await servers.started()
        assert not is_alive(pid)
        assert server.port == port


async def test_a_process_that_only_has_the_number_of_an_earlier_server_is_left_alone(
    servers: Servers,
) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            servers.settings.directory.mkdir()
            record = {
                "pid": stranger.pid,
                "start": 1,
                "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text(),
            }
            (servers.settings.directory / "process.json").write_text(json.dumps(record))
            await servers.started()
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_its_files_and_its_command_line_give_nothing_away(servers: Servers) -> None:
    server = await servers.started()
    directory = servers.settings.directory
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    password = server.access.password
    content = (directory / "nats-server.conf").read_text()
    assert password in content
    assert TOKEN not in content
    process = psutil.Process(server.pid)
    shown = " ".join(process.cmdline()) + repr(process.environ())
    assert password not in shown
    assert TOKEN not in shown
    assert password not in repr(server.access)
    assert TOKEN not in repr(servers.settings)
    await server.stop()
    assert not (directory / "nats-server.conf").exists()


async def test_a_program_that_is_no_nats_server_is_told(servers: Servers, tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho this is something else\nexit 3\n")
    program.chmod(0o755)
    servers._program = program
    with pytest.raises(ConfigurationError, match="does not accept its configuration: this is something else"):
        await servers.started()


@contextlib.contextmanager
def node(directory: Path) -> Any:
    """A process that runs a server in a directory: the process, and the server's pid and port."""
    with subprocess.Popen(
        [sys.executable, "-c", NODE, str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            pid, port = process.stdout.readline().split()
            yield process, int(pid), int(port)
        finally:
            process.kill()

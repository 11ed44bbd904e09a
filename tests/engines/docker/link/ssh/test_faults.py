"""What goes wrong between here and an engine over ssh, caused for real, and what people read."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.link import keeper
from bacalhau_jupyter.engines.docker.link.ssh import known_hosts
from bacalhau_jupyter.engines.docker.link.target import DIAL_STDIO, SshTarget
from bacalhau_jupyter.models.errors import ConfigurationError, Forbidden, NetworkFailure
from bacalhau_jupyter.models.records.hosts import HostState
from tests.engines.docker.link.conftest import Hosts
from tests.services.far_users import Way

pytestmark = pytest.mark.timeout(240)
REFUSED, UNREACHABLE = HostState.REFUSED, HostState.UNREACHABLE


async def test_a_name_that_nobody_has(hosts: Hosts) -> None:
    status = await hosts.problem(Way(lines=("HostName nobody.invalid",)))
    assert status.state is UNREACHABLE
    assert status.problem == 'no machine is called "nobody.invalid" (asked for gpu1)'


async def test_a_machine_without_an_ssh_server(hosts: Hosts) -> None:
    status = await hosts.problem(Way(port=2999))
    assert (status.state, status.problem) == (UNREACHABLE, "gpu1 runs no ssh server on port 2999")


async def test_a_machine_that_is_silent(hosts: Hosts) -> None:
    hosts.far_host.cut()
    status = await hosts.problem()
    assert status.state is UNREACHABLE
    assert status.problem.startswith("gpu1 does not answer since ")


async def test_a_server_that_accepts_and_says_nothing(hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status = await hosts.problem(Way(lines=("HostName 127.0.0.1", f"Port {silent.getsockname()[1]}")))
    assert status.state is UNREACHABLE
    assert status.problem.startswith("gpu1 does not answer since ")


async def test_a_host_that_is_not_known_is_refused_and_then_accepted_by_its_fingerprint(hosts: Hosts) -> None:
    empty = hosts.directory / "empty"
    empty.touch()
    hosts.known_hosts = hosts.directory / "ours" / "known_hosts"
    target = hosts.target(Way(known_hosts=empty))
    fingerprint = hosts.far_host.users.fingerprint
    status = await hosts.problem(target=target)
    assert status.state is REFUSED
    assert status.problem == f"gpu1 is not known yet; its key is ED25519 {fingerprint}"
    assert f"--trust {fingerprint}" in status.hint
    with pytest.raises(Forbidden, match="gpu1 shows another key"):
        await known_hosts.trust("gpu1", target, "SHA256:AAAA", hosts.known_hosts)
    assert not hosts.known_hosts.exists()
    for _ in range(2):
        key = await known_hosts.trust("gpu1", target, fingerprint, hosts.known_hosts)
        assert (key.kind, key.fingerprint) == ("ED25519", fingerprint)
    assert len(hosts.known_hosts.read_text().splitlines()) == 1
    assert hosts.known_hosts.stat().st_mode & 0o777 == 0o600
    await hosts.ready(target=target)
    assert empty.read_text() == "", "the person's own file is left alone"


async def test_a_host_that_was_accepted_is_noticed_without_a_person(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WATCH_S", 0.1)
    empty = hosts.directory / "empty"
    empty.touch()
    hosts.known_hosts = hosts.directory / "known_hosts"
    watched = hosts.link(target=hosts.target(Way(known_hosts=empty)))
    await watched.link.start()
    await watched.comes_to(REFUSED)
    hosts.known_hosts.write_text(f"{hosts.far_host.address} {hosts.far_host.users.host_key}\n")
    await watched.comes_to(HostState.READY)


async def test_a_host_with_another_key_than_before_is_never_accepted(hosts: Hosts) -> None:
    key = hosts.directory / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    known = hosts.far_host.users.known_hosts(
        hosts.directory / "known", key=Path(f"{key}.pub").read_text().rstrip()
    )
    for lines in ((), ("StrictHostKeyChecking accept-new",)):
        status = await hosts.problem(Way(known_hosts=known, lines=lines))
        assert status.state is REFUSED
        assert status.problem == f"gpu1 shows another key than before (line 1 of {known})"
        assert f"ssh-keygen -f {known} -R '{hosts.far_host.address}'" in status.hint


async def test_a_key_that_the_host_does_not_know(hosts: Hosts) -> None:
    key = hosts.directory / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    status = await hosts.problem(Way(key=key))
    assert (status.state, status.problem) == (
        REFUSED,
        "gpu1 does not let alice in with the keys of this machine",
    )
    assert status.hint == "Give it your key: ssh-copy-id gpu1"


async def test_a_user_that_the_host_does_not_know(hosts: Hosts) -> None:
    status = await hosts.problem(target=SshTarget("gpu1", "eve", config=hosts.config(gpu1=Way())))
    assert status.problem == "gpu1 does not let eve in with the keys of this machine"


async def test_a_key_that_is_locked_without_an_agent(hosts: Hosts) -> None:
    key = hosts.far_host.users.locked_key
    env = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    target = hosts.target(Way(key=key, lines=("IdentityAgent SSH_AUTH_SOCK",)))
    status = await hosts.problem(target=target, env=env)
    assert status.state is REFUSED
    assert f"ssh-add {key}" in status.hint
    assert "without an ssh agent (SSH_AUTH_SOCK)" in status.hint


async def test_a_server_that_wants_a_password(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(PubkeyAuthentication="no")
    status = await hosts.problem(Way(port=port))
    assert (status.state, status.problem) == (REFUSED, "gpu1 wants a password; only keys are supported")


async def test_a_user_who_may_not_use_docker(hosts: Hosts) -> None:
    status = await hosts.problem(Way(user="bob"))
    assert status.state is REFUSED
    assert (
        status.problem == "bob may not use Docker on gpu1 (/var/run/docker.sock belongs to root:docker 660)"
    )
    assert "sudo usermod -aG docker bob" in status.hint


async def test_a_machine_without_docker(hosts: Hosts) -> None:
    hosts.far_host.shell("mv /run/docker.sock /run/hidden.sock")
    watched = hosts.link()
    await watched.link.start()
    status = await watched.comes_to(UNREACHABLE, REFUSED)
    assert status.state is UNREACHABLE
    assert status.problem.startswith("there is no Docker Engine on gpu1 (no /var/run/docker.sock")
    assert status.is_engine_off
    # It comes: somebody has installed it.
    hosts.far_host.shell("mv /run/hidden.sock /run/docker.sock")
    await watched.comes_to(HostState.READY)


async def test_a_socket_that_was_named_and_is_not_there(hosts: Hosts) -> None:
    status = await hosts.problem(target=dataclasses.replace(hosts.target(Way()), socket="/run/nothing.sock"))
    assert status.problem == "there is no Docker Engine on gpu1 (no /run/nothing.sock)"


async def test_a_socket_at_which_something_else_listens(hosts: Hosts) -> None:
    hosts.far_host.shell("rm -f /run/other.sock /run/other.new")
    hosts.far_host.write(
        "/home/other.py",
        "import http.server, os, socketserver\n"
        "class Server(socketserver.UnixStreamServer):\n"
        "    def get_request(self):\n"
        "        connection, _ = super().get_request()\n"
        "        return connection, ('x', 0)\n"
        "server = Server('/run/other.new', http.server.BaseHTTPRequestHandler)\n"
        # Between its making and its listening, it refuses everybody.
        "os.rename('/run/other.new', '/run/other.sock')\n"
        "server.serve_forever()\n",
    )
    hosts.far_host.order(f"umask 0; exec {sys.executable} /home/other.py")
    hosts.far_host.shell("while [ ! -S /run/other.sock ]; do sleep 0.05; done")
    status = await hosts.problem(target=dataclasses.replace(hosts.target(Way()), socket="/run/other.sock"))
    assert status.state is REFUSED
    assert status.problem.startswith("what listens at /run/other.sock on gpu1 is no Docker Engine")


async def test_neither_a_forward_nor_a_shell(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no")
    status = await hosts.problem(Way(port=port, user="nologin"))
    assert status.state is REFUSED
    assert status.problem.startswith(
        "gpu1 lets nologin in, but neither runs commands nor passes on connections"
    )


async def test_no_forward_and_no_docker_program(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no")
    hide = "[ ! -e /usr/bin/docker ] || mount --bind /dev/null /usr/bin/docker"
    hosts.far_host.shell(f"mount -t tmpfs none /usr/local/bin; {hide}")
    try:
        status = await hosts.problem(Way(port=port))
    finally:
        hosts.far_host.shell("umount /usr/local/bin; umount /usr/bin/docker 2>/dev/null || true")
    assert "there is no program `docker` to go through" in status.problem
    assert "AllowStreamLocalForwarding yes" in status.hint


async def test_an_engine_that_has_stopped_behind_the_docker_program(hosts: Hosts) -> None:
    hosts.far_host.stop_docker()
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('/run/docker.sock')"
    hosts.far_host.shell(f'{sys.executable} -c "{bind}"; chmod 666 /run/docker.sock')
    for through in ("", DIAL_STDIO):
        status = await hosts.problem(target=dataclasses.replace(hosts.target(Way()), through=through))
        assert (status.state, status.problem) == (UNREACHABLE, "the Docker Engine on gpu1 does not answer")
    hosts.far_host.shell("rm /run/docker.sock")


@pytest.mark.parametrize(
    ("hop", "words"),
    [
        (Way(lines=("HostName nobody.invalid",)), "ssh: Could not resolve hostname nobody.invalid"),
        (Way(port=2999), "Connection refused"),
        (Way(user="eve"), "Permission denied (publickey"),
    ],
)
async def test_a_jump_that_does_not_work(hosts: Hosts, hop: Way, words: str) -> None:
    config = hosts.config(hop=hop, gpu1=Way(lines=("ProxyJump hop",)))
    status = await hosts.problem(target=SshTarget("gpu1", config=config))
    assert status.state is (REFUSED if hop.user == "eve" else UNREACHABLE)
    assert status.problem.startswith("the way to gpu1 over hop does not work: ")
    assert words in status.problem


async def test_a_jump_to_a_host_that_is_not_there(hosts: Hosts) -> None:
    config = hosts.config(hop=Way(port=hosts.far_host.sshd()), gpu1=Way(port=2999, lines=("ProxyJump hop",)))
    status = await hosts.problem(target=SshTarget("gpu1", config=config))
    assert status.state is UNREACHABLE
    assert status.problem.startswith("the way to gpu1 over hop does not work: ")


async def test_a_configuration_of_ssh_that_is_wrong(hosts: Hosts) -> None:
    status = await hosts.problem(Way(lines=("Hosst x",)))
    assert status.state is REFUSED
    assert "Bad configuration option: hosst" in status.problem


async def test_no_ssh_on_this_machine(hosts: Hosts) -> None:
    status = await hosts.problem(env={"PATH": "/nowhere"})
    assert status.state is REFUSED
    assert "the program ssh is not installed on this machine" in status.problem
    with pytest.raises(ConfigurationError):
        await known_hosts.trust(
            "gpu1", SshTarget("gpu1"), "SHA256:a", hosts.directory / "k", {"PATH": "/nowhere"}
        )


async def test_a_host_that_shows_no_key(hosts: Hosts) -> None:
    with pytest.raises(NetworkFailure, match="gpu1 shows no key now"):
        await known_hosts.trust("gpu1", hosts.target(Way(port=2999)), "SHA256:a", hosts.directory / "known")


async def test_what_was_refused_is_tried_again_when_a_person_wants_it(hosts: Hosts) -> None:
    known = hosts.directory / "known"
    known.touch()
    watched = hosts.link(Way(known_hosts=known))
    await watched.link.start()
    await watched.comes_to(REFUSED)
    hosts.far_host.users.known_hosts(known)
    watched.link.again()
    await watched.comes_to(HostState.READY)

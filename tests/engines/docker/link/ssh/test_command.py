"""Command lines of ssh: what a person's configuration says must not disturb, as ssh itself reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.link.ssh import command
from bacalhau_jupyter.engines.docker.link.ssh.places import Places
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved, resolved
from bacalhau_jupyter.engines.docker.link.target import SshTarget

TROUBLE = """
Host gpu1
    HostName 10.0.0.7
    User alice
    Port 2222
    LocalForward 8888 localhost:8888
    RemoteForward 9999 localhost:9999
    RemoteCommand tmux attach
    RequestTTY force
    ControlPersist yes
    ControlMaster auto
    ControlPath /tmp/%r@%h
    PermitLocalCommand yes
    LocalCommand touch /tmp/nothing
    ForwardAgent yes
    BatchMode no
    LogLevel QUIET
    ForkAfterAuthentication yes
    UserKnownHostsFile ~/.ssh/a ~/.ssh/b
"""
PLACES = Places(Path("/run/user/1000/abc"))


def read_by_ssh(words: list[str]) -> str:
    """Return what ssh understands of a command line."""
    done = subprocess.run(
        [words[0], "-G", *words[1:]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def ssh() -> str:
    program = shutil.which("ssh")
    if program is None:
        pytest.skip("`ssh` is not installed")
    return program


@pytest.fixture
def target(tmp_path: Path) -> SshTarget:
    (tmp_path / "config").write_text(TROUBLE)
    return SshTarget("gpu1", config=tmp_path / "config")


def ask(words: list[str]) -> Resolved:
    return resolved(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_ssh_tells_what_it_makes_of_an_alias(ssh: str, target: SshTarget) -> None:
    answer = ask(command.resolve(ssh, target))
    assert (answer.host, answer.user, answer.port) == ("10.0.0.7", "alice", 2222)
    assert [Path(name).name for name in answer.known_hosts] == ["a", "b"]


def test_a_persons_configuration_does_not_disturb_the_process_that_stays(
    ssh: str, target: SshTarget, tmp_path: Path
) -> None:
    known = tmp_path / "known hosts 50%"
    known.touch()
    facts = ask(command.resolve(ssh, target))
    lines = read_by_ssh(command.master(ssh, target, PLACES, facts, known)).splitlines()
    for line in (
        "batchmode yes",
        "clearallforwardings yes",
        "forwardagent no",
        "controlpersist no",
        "requesttty false",
        "loglevel INFO",
        f"localcommand echo {command.IS_UP}",
        f"controlpath {PLACES.control}",
        "serveraliveinterval 5",
    ):
        assert line in lines, line
    assert not [line for line in lines if line.startswith(("localforward", "remoteforward", "remotecommand"))]
    assert "forkafterauthentication yes" not in lines
    (trusted,) = (line for line in lines if line.startswith("userknownhostsfile"))
    assert trusted.endswith(f"{tmp_path}/known hosts 50%")
    assert trusted.count(".ssh/") == 2


def test_a_persons_choices_for_the_host_go_before_the_configuration(ssh: str, target: SshTarget) -> None:
    chosen = SshTarget(
        "gpu1",
        "bob",
        2022,
        config=target.config,
        options={"Ciphers": "aes128-gcm@openssh.com", "ServerAliveInterval": "9"},
    )
    lines = read_by_ssh(command.master(ssh, chosen, PLACES, Resolved("", "", 22), None)).splitlines()
    for line in ("user bob", "port 2022", "ciphers aes128-gcm@openssh.com", "serveraliveinterval 9"):
        assert line in lines, line


def test_a_command_through_a_process_that_has_gone_connects_to_nothing(ssh: str, tmp_path: Path) -> None:
    through = command.Through(ssh, Places(tmp_path))
    done = subprocess.run(through.run("true"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    assert "UNKNOWN port 65535" in done.stderr


def test_a_first_look_at_the_key_of_a_host_does_not_log_in(
    ssh: str, target: SshTarget, tmp_path: Path
) -> None:
    facts = ask(command.resolve(ssh, target))
    lines = read_by_ssh(command.first_key(ssh, target, facts, tmp_path / "key")).splitlines()
    for line in ("preferredauthentications none", "stricthostkeychecking accept-new"):
        assert line in lines, line
    assert not [line for line in lines if line.startswith("controlpath ")]
    assert f"userknownhostsfile {tmp_path}/key" in lines

"""What ssh says, and what people read: every text was printed by OpenSSH 9.2 unless it says otherwise."""

from __future__ import annotations

import dataclasses

import pytest

from bacalhau_jupyter.engines.docker.link.fault import Part
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved, resolved
from bacalhau_jupyter.engines.docker.link.ssh.words import (
    Host,
    KeysHere,
    explain,
    last_words,
    not_let_in,
    unknown_key,
)
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.models.records.hosts import HostState

UNREACHABLE, REFUSED = HostState.UNREACHABLE, HostState.REFUSED
HOST = Host("gpu1", Resolved("10.99.1.2", "alice", 22))
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:abc.
Please contact your system administrator.
Add correct host key in /home/alice/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/alice/.ssh/known_hosts:12
Host key for 10.99.1.2 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("stderr", "state", "part", "sentence"),
    [
        (
            "ssh: Could not resolve hostname gpu7: Name or service not known",
            UNREACHABLE,
            Part.NAME,
            'no machine is called "gpu7" (asked for gpu1)',
        ),
        (
            "ssh: connect to host 10.99.1.2 port 22: Connection refused",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 runs no ssh server on port 22",
        ),
        (
            "ssh: connect to host 10.99.1.2 port 22: Connection timed out",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 does not answer",
        ),
        (
            "Connection timed out during banner exchange\nConnection to 10.99.1.2 port 22 timed out",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 does not answer",
        ),
        ("Timeout, server 10.99.1.2 not responding.", UNREACHABLE, Part.SERVER, "gpu1 does not answer"),
        (
            "ssh: connect to host 10.99.1.2 port 22: Network is unreachable",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 does not answer",
        ),
        (
            "ssh: connect to host 10.99.1.2 port 22: No route to host",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 does not answer",
        ),
        # macOS
        (
            "ssh: connect to host 10.99.1.2 port 22: Operation timed out",
            UNREACHABLE,
            Part.SERVER,
            "gpu1 does not answer",
        ),
        (
            "Host key verification failed.",
            REFUSED,
            Part.KEY,
            "gpu1 is not known yet: no key of it is in known_hosts",
        ),
        (
            "No ED25519 host key is known for 10.99.1.2 and you have requested strict checking.\n"
            "Host key verification failed.",
            REFUSED,
            Part.KEY,
            "gpu1 is not known yet: no key of it is in known_hosts",
        ),
        (
            CHANGED,
            REFUSED,
            Part.KEY,
            "gpu1 shows another key than before (line 12 of /home/alice/.ssh/known_hosts)",
        ),
        (
            "alice@10.99.1.2: Permission denied (publickey,password).",
            REFUSED,
            Part.LOGIN,
            "gpu1 does not let alice in with the keys of this machine",
        ),
        (
            "alice@10.99.1.2: Permission denied (password,keyboard-interactive).",
            REFUSED,
            Part.LOGIN,
            "gpu1 wants a password; only keys are supported",
        ),
        (
            "Received disconnect from 10.99.1.2 port 22:2: Too many authentication failures\n"
            "Disconnected from 10.99.1.2 port 22",
            REFUSED,
            Part.LOGIN,
            "gpu1 does not let us in: too many keys were tried",
        ),
        (
            "Bad owner or permissions on /home/alice/.ssh/config",
            REFUSED,
            Part.PROGRAM,
            "ssh can't be used for gpu1: Bad owner or permissions on /home/alice/.ssh/config",
        ),
        (
            "/home/alice/.ssh/config: line 3: Bad configuration option: hosst\n"
            "/home/alice/.ssh/config: terminating, 1 bad configuration options",
            REFUSED,
            Part.PROGRAM,
            "ssh can't be used for gpu1: /home/alice/.ssh/config: line 3: Bad configuration option: hosst",
        ),
        (
            "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\n"
            "Permissions 0644 for '/home/alice/.ssh/id' are too open.\n"
            "alice@10.99.1.2: Permission denied (publickey).",
            REFUSED,
            Part.PROGRAM,
            "others may read the key /home/alice/.ssh/id, so ssh does not use it",
        ),
        ("No user exists for uid 12345", REFUSED, Part.PROGRAM, "ssh does not work here"),
        (
            "Unable to negotiate with 10.99.1.2 port 22: no matching host key type found. Their offer: ssh-rsa",
            REFUSED,
            Part.SERVER,
            "gpu1 and this machine's ssh have no common method: Unable to negotiate with 10.99.1.2 port 22",
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by 10.99.1.2 port 22",
            UNREACHABLE,
            Part.SERVER,
            "the ssh server of gpu1 hung up: ",
        ),
        (
            "client_loop: send disconnect: Broken pipe",
            UNREACHABLE,
            Part.SERVER,
            "the ssh server of gpu1 hung up",
        ),
        ("something new", UNREACHABLE, Part.SERVER, "ssh could not connect to gpu1: something new"),
        ("", UNREACHABLE, Part.SERVER, "ssh could not connect to gpu1"),
    ],
)
def test_what_ssh_says_becomes_a_sentence(stderr: str, state: HostState, part: Part, sentence: str) -> None:
    fault = explain(stderr, HOST)
    assert (fault.state, fault.part) == (state, part)
    assert fault.sentence.startswith(sentence)
    assert fault.hint
    assert "\n" not in fault.sentence + fault.hint


@pytest.mark.parametrize(
    ("stderr", "state", "sentence"),
    [
        (
            "ssh: Could not resolve hostname hop: Name or service not known\n"
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            UNREACHABLE,
            "the way to gpu1 over bob@hop does not work: ssh: Could not resolve hostname hop",
        ),
        (
            "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n"
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            UNREACHABLE,
            "the way to gpu1 over bob@hop does not work: stdio forwarding failed",
        ),
        (
            "bob@hop: Permission denied (publickey).\n"
            "kex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            REFUSED,
            "the way to gpu1 over bob@hop does not work: bob@hop: Permission denied (publickey)",
        ),
        (
            "Host key verification failed.\nkex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535",
            REFUSED,
            "the way to gpu1 over bob@hop does not work: Host key verification failed",
        ),
    ],
)
def test_a_fault_of_a_jump_is_not_told_as_one_of_the_host(
    stderr: str, state: HostState, sentence: str
) -> None:
    host = dataclasses.replace(HOST, resolved=dataclasses.replace(HOST.resolved, jump="bob@hop"))
    fault = explain(stderr, host)
    assert fault.state is state
    assert fault.sentence.startswith(sentence)


def test_the_hint_for_a_login_follows_from_the_keys_that_are_here() -> None:
    locked = KeysHere(files=("~/.ssh/id",), locked=("~/.ssh/id",), agent=False)
    assert not_let_in(HOST, KeysHere()).hint == "Give it your key: ssh-copy-id alice@10.99.1.2"
    assert "ssh-add ~/.ssh/id" in not_let_in(HOST, locked).hint
    assert "SSH_AUTH_SOCK" in not_let_in(HOST, locked).hint
    with_agent = dataclasses.replace(locked, agent=True)
    assert "SSH_AUTH_SOCK" not in not_let_in(HOST, with_agent).hint
    assert "ssh-keygen" in not_let_in(HOST, KeysHere(agent=False)).hint
    assert "ssh-add" not in not_let_in(HOST, dataclasses.replace(with_agent, agent_keys=1)).hint


def test_commands_for_the_person_take_what_the_person_wrote() -> None:
    there = Resolved("10.99.1.2", "alice", 2222)
    alias = Host("box", there, SshTarget("gpu1"))
    assert not_let_in(alias, KeysHere()).hint == "Give it your key: ssh-copy-id gpu1"
    address = Host("box", there, SshTarget("gpu1", "bob", 2222))
    assert not_let_in(address, KeysHere()).hint == "Give it your key: ssh-copy-id -p 2222 bob@gpu1"
    assert "ssh-copy-id -p 2222 alice@10.99.1.2" in not_let_in(Host("box", there), KeysHere()).hint


def test_an_unknown_key_is_shown_with_what_compares_and_accepts_it() -> None:
    fault = unknown_key(HOST, "ED25519 SHA256:abc")
    assert fault.sentence == "gpu1 is not known yet; its key is ED25519 SHA256:abc"
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in fault.hint
    # Nothing stands behind it: people copy it to the end of the line.
    assert fault.hint.endswith("--trust SHA256:abc")


def test_a_changed_key_is_forgotten_by_the_name_that_known_hosts_has() -> None:
    host = dataclasses.replace(HOST, resolved=dataclasses.replace(HOST.resolved, port=2222))
    assert "-R '[10.99.1.2]:2222'" in explain(CHANGED, host).hint


def test_a_server_cannot_write_to_the_terminal_through_its_words() -> None:
    assert explain("\x1b[2Jhello", HOST).sentence == "ssh could not connect to gpu1: \\x1b[2Jhello"
    assert len(explain("x" * 10_000, HOST).sentence) < 400


def test_the_last_words_leave_out_what_ssh_says_besides() -> None:
    assert (
        last_words("nothing works\nchannel 3: open failed: connect failed: open failed\n\n")
        == "nothing works"
    )
    assert last_words("") == ""


def test_what_ssh_prints_of_its_configuration_is_read() -> None:
    text = (
        "user alice\nhostname 10.99.1.2\nport 2222\nidentityfile ~/.ssh/a\nidentityfile ~/.ssh/b\n"
        "proxyjump hop\nuserknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2\nforkafterauthentication yes\n"
        "identityagent none\n"
    )
    assert resolved(text) == Resolved(
        "10.99.1.2",
        "alice",
        2222,
        ("~/.ssh/a", "~/.ssh/b"),
        jump="hop",
        known_hosts=("~/.ssh/known_hosts", "~/.ssh/known_hosts2"),
        agent="none",
        forks=True,
    )
    assert resolved("proxycommand nc %h %p\n").jump == "a program"
    assert resolved("") == Resolved("", "", 22)

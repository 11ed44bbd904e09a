"""Where a host is, as people write it; and what is refused before any program sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget, plain_target, ssh_target
from bacalhau_jupyter.models.errors import ValidationError

TLS = Tls(Path("ca.pem"), Path("cert.pem"), Path("key.pem"), verify=True)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("gpu1", SshTarget("gpu1")),
        ("alice@gpu1", SshTarget("gpu1", "alice")),
        ("ssh://gpu1", SshTarget("gpu1")),
        ("ssh://GPU1", SshTarget("GPU1")),
        ("ssh://alice@gpu1:2222", SshTarget("gpu1", "alice", 2222)),
        ("ssh://alice@gpu1:2222/", SshTarget("gpu1", "alice", 2222)),
        ("ssh://gpu1/run/user/1000/docker.sock", SshTarget("gpu1", socket="/run/user/1000/docker.sock")),
        ("ssh://alice%40corp@gpu1", SshTarget("gpu1", "alice@corp")),
        ("ssh://alice@[fe80::1]:22", SshTarget("fe80::1", "alice", 22)),
    ],
)
def test_ssh_is_written_as_docker_does_or_as_an_alias(url: str, target: SshTarget) -> None:
    assert ssh_target(url) == target


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://alice:secret@gpu1", "may not hold a password"),
        ("ssh://gpu1?a=b", "has no"),
        ("ssh://gpu1#a", "has no"),
        ("ssh://", "the host name of a Docker host is missing"),
        ("", "the host name of a Docker host is missing"),
        ("ssh://gpu1:99999", "is no number from 1 to 65535"),
        ("ssh://gpu1:abc", "is no number from 1 to 65535"),
        ("ssh://-oProxyCommand=id/", "holds what ssh would misread"),
        ("-oProxyCommand=id", "holds what ssh would misread"),
        ("-l@gpu1", "holds what ssh would misread"),
        ("gpu1 id", "holds what ssh would misread"),
        ("gpu1\n", "holds what ssh would misread"),
        ("ssh://$(id)@gpu1", "holds what ssh would misread"),
        ("ssh://gpu1/a:b", "holds what ssh would misread"),
        ("ssh://gpu1/%41%0a", "holds what ssh would misread"),
        ("ssh://[gpu1", "is not an address"),
    ],
)
def test_what_ssh_would_misread_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ssh_target(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ProxyCommand", "id"),
        ("LocalCommand", "id"),
        ("PermitLocalCommand", "yes"),
        ("PKCS11Provider", "/tmp/a.so"),
        ("StrictHostKeyChecking", "no"),
        ("UserKnownHostsFile", "/dev/null"),
        ("KnownHostsCommand", "id"),
        ("Include", "/tmp/a"),
        ("Ciphers", "a\nProxyCommand=id"),
        ("HostName", "-oProxyCommand=id"),
        ("ProxyJump", "hop,-oProxyCommand=id"),
        ("ProxyJump", "$(id)"),
        ("Ciphers", ""),
    ],
)
def test_options_that_run_programs_or_trust_anybody_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match="option"):
        SshTarget("gpu1", options={name: value})


def test_options_that_only_choose_are_taken() -> None:
    options = {"Ciphers": "aes128-gcm@openssh.com", "ProxyJump": "alice@hop:22", "IdentityFile": "~/.ssh/a"}
    assert SshTarget("gpu1", options=options).options == options


@pytest.mark.parametrize(
    ("url", "tls", "target"),
    [
        ("unix:///run/podman/podman.sock", None, PlainTarget("unix:///run/podman/podman.sock")),
        ("/run/podman/podman.sock", None, PlainTarget("unix:///run/podman/podman.sock")),
        ("tcp://127.0.0.1:2375", None, PlainTarget("tcp://127.0.0.1:2375")),
        ("tcp://10.0.0.7:2376", TLS, PlainTarget("tcp://10.0.0.7:2376", TLS)),
        ("tcp://[::1]:2376", TLS, PlainTarget("tcp://[::1]:2376", TLS)),
    ],
)
def test_sockets_and_ports_are_written_as_docker_does(url: str, tls: Tls | None, target: PlainTarget) -> None:
    assert ssh_target(url) is None
    assert plain_target(url, tls) == target


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("tcp://10.0.0.7:2375", "is not protected by TLS"),
        ("tcp://10.0.0.7", "is written tcp://"),
        ("tcp://:2375", "is written tcp://"),
        ("tcp://a@10.0.0.7:2376", "is written tcp://"),
        ("tcp://10.0.0.7:2376/path", "is written tcp://"),
        ("tcp://a:b@10.0.0.7:2376", "may not hold a password"),
        ("unix://docker.sock", "is written unix:///"),
        ("http://10.0.0.7:2375", "can't be reached by http"),
        ("npipe:////./pipe/docker_engine", "can't be reached by npipe"),
    ],
)
def test_other_addresses_are_refused(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        plain_target(url)


def test_a_port_without_tls_is_taken_where_the_person_insists() -> None:
    assert plain_target("tcp://10.0.0.7:2375", insecure=True).insecure


def test_a_target_is_shown_as_docker_writes_it() -> None:
    for url in ("ssh://alice@gpu1:2222/run/docker.sock", "ssh://[fe80::1]"):
        target = ssh_target(url)
        assert target is not None
        assert target.url == url

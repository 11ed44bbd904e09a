"""``hosts.yaml``: what may stand in it, edited by hand and by us."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.host_orders import AddHost, SshSettings, TlsFiles
from bacalhau_jupyter.node.hosts.naming import suggested_name
from bacalhau_jupyter.node.hosts.written.editing import with_entry, without_entry
from bacalhau_jupyter.node.hosts.written.entries import HostEntry, entry_of, to_file
from bacalhau_jupyter.node.hosts.written.file import MOST_HOSTS, HostsFile, read_hosts

WRITTEN = """\
# my machines
hosts:
    gpu1: {url: "ssh://alice@gpu1"}              # the old one
    # in the cellar
    gpu2:
        url: tcp://10.0.0.7:2376
        tls: {ca: ca.pem, cert: cert.pem, key: key.pem}
        labels: {room: basement}
        allocated: {cpu: "90%", memory: 200Gi, gpu: 1}
        gpus: [{vendor: NVIDIA, name: A100, memory: 80Gi}, {vendor: nvidia, name: A100, memory: 80Gi}]
    lab: {context: lab, paused: true}

    # slow
    old:
        url: ssh://gpu3
        ssh: {options: {Ciphers: aes128-gcm@openssh.com}, socket: /var/run/docker.sock, through: dial-stdio}
    short: bob@gpu4
"""


def test_what_a_person_writes_is_understood() -> None:
    written = read_hosts(WRITTEN)
    assert written.problems == {}
    assert list(written.entries) == ["gpu1", "gpu2", "lab", "old", "short"]
    gpu2 = written.entries["gpu2"]
    assert gpu2.allocated == ResourcesConfig(cpu="90%", memory="200Gi", gpu="1")
    assert gpu2.gpus == tuple(GPU(index=i, name="A100", vendor="NVIDIA", memory=81920) for i in (0, 1))
    target = gpu2.target(Path("/repo"))
    assert isinstance(target, PlainTarget)
    assert target.tls is not None
    assert target.tls.ca == Path("/repo/ca.pem")
    assert written.entries["lab"].paused
    old = written.entries["old"].target(Path("/repo"))
    assert isinstance(old, SshTarget)
    assert (old.host, old.socket, old.through) == ("gpu3", "/var/run/docker.sock", "dial-stdio")
    assert written.entries["short"].url == "bob@gpu4"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("[]", "no mapping"),
        ("{}", "needs an address or a Docker context"),
        ("{url: gpu1, context: lab}", "not both"),
        ("{url: 'ssh://alice:secret@gpu1'}", "password"),
        ("{url: 'alice:secret@gpu1'}", "password"),
        ("{url: 'ssh://gpu1?x=1'}", "?"),
        ("{url: 'ssh://gpu1#x'}", "#"),
        ("{url: 'ssh://-oProxyCommand=id'}", "misread"),
        ("{url: 'ssh://gpu1:99999'}", "port"),
        ("{url: 'http://gpu1'}", "can't be reached by"),
        ("{url: 'tcp://gpu1:2375'}", "not protected by TLS"),
        ("{url: gpu1, color: red}", "no member 'color'"),
        ("{url: gpu1, ssh: {options: {ProxyCommand: id}}}", "ProxyCommand can't be set"),
        ("{url: gpu1, ssh: {options: {LocalCommand: id}}}", "LocalCommand can't be set"),
        ("{url: gpu1, ssh: {options: {PermitLocalCommand: true}}}", "can't be set"),
        ("{url: gpu1, ssh: {options: {Port: '22; id'}}}", "misread"),
        ("{url: gpu1, ssh: {through: sudo}}", "through"),
        ("{url: gpu1, ssh: {socket: relative}}", "socket"),
        ("{url: 'unix:///run/docker.sock', tls: dir}", "tcp:// only"),
        ("{url: 'tcp://10.0.0.7:2376', tls: dir, ssh: {socket: /x}}", "no meaning"),
        ("{url: 'tcp://10.0.0.7:2376', tls: {ca: ca.pem, cert: x}}", "tls needs"),
        ("{url: gpu1, labels: {host: other}}", "the host's name"),
        ("{url: gpu1, labels: {'a b': c}}", "can't be a label"),
        ("{url: gpu1, labels: {a: 'b c'}}", "value of a label"),
        ("{url: gpu1, allocated: {cpu: lots}}", "neither a percentage nor an amount"),
        ("{url: gpu1, allocated: {cpu: 120%}}", "between 0% and 100%"),
        ("{url: gpu1, allocated: {cpu: 1e300}}", ""),
        ("{url: gpu1, allocated: {tpu: 1}}", "no resource"),
        ("{url: gpu1, gpus: [{vendor: 3dfx}]}", "3dfx"),
        ("{url: gpu1, gpus: 2}", "no list"),
        ("{url: gpu1, paused: maybe}", "neither true nor false"),
        ("{context: '../../etc'}", "no name of a Docker context"),
        ('{url: "gpu1\\nHost x"}', ""),
    ],
)
def test_a_wrong_entry_is_named_and_the_others_go_on(entry: str, sentence: str) -> None:
    written = read_hosts(f"hosts:\n  bad: {entry}\n  good: ssh://gpu1\n")
    assert list(written.entries) == ["good"]
    assert "bad" in written.problems["bad"]
    assert sentence in written.problems["bad"]
    assert "secret" not in written.problems["bad"]


@pytest.mark.parametrize("name", ["Gpu1", "a b", "gpu.1", "-gpu", "gpu-", "x" * 41, "ä", ""])
def test_a_name_that_can_not_be_a_label_is_refused(name: str) -> None:
    written = read_hosts(yaml.safe_dump({"hosts": {name: "gpu1", "good": "gpu2"}}))
    assert list(written.entries) == ["good"]
    assert len(written.problems) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hosts: [", "not YAML in line 1"),
        ("hosts:\n  a: gpu1\n  a: gpu2\n", "stands twice"),
        ("[]", "no mapping"),
        ("host: {}", "no member 'host'"),
        ("hosts: 7", "no mapping of names"),
        ("hosts: {a: *b}", "not YAML"),
        ("[" * 5000, "not YAML"),
        ("hosts: !!python/object:os.system {}", "not YAML"),
    ],
)
def test_a_broken_file_is_one_sentence_and_is_never_overwritten(
    text: str, sentence: str, tmp_path: Path
) -> None:
    file = HostsFile(tmp_path)
    file.path.write_text(text)
    written = file.read()
    assert written.entries == {}
    assert sentence in written.problems[""]
    with pytest.raises(ConfigurationError, match="can't be changed"):
        file.put(HostEntry("gpu1", "ssh://gpu1"))
    assert file.path.read_text() == text


def test_no_file_means_no_hosts_and_what_is_not_text_is_told(tmp_path: Path) -> None:
    file = HostsFile(tmp_path)
    assert file.read().entries == {}
    assert file.stamp() is None
    file.path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in file.read().problems[""]
    file.path.write_bytes(b"x" * 1_000_001)
    assert "bytes" in file.read().problems[""]


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = HostsFile(tmp_path)
    file.put(HostEntry("gpu1", "ssh://alice@gpu1"))
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read().entries == {"gpu1": HostEntry("gpu1", "ssh://alice@gpu1")}


def test_what_a_person_wrote_around_an_entry_stays() -> None:
    changed = with_entry(WRITTEN, "gpu2", {"url": "ssh://gpu2"})
    assert changed == WRITTEN[: WRITTEN.index("    gpu2:")] + (
        "    gpu2:\n      url: ssh://gpu2\n" + WRITTEN[WRITTEN.index("    lab:") :]
    )
    assert without_entry(WRITTEN, "lab") == WRITTEN.replace("    lab: {context: lab, paused: true}\n", "")
    assert without_entry(WRITTEN, "gpu1").startswith("# my machines\nhosts:\n    # in the cellar\n")
    added = with_entry(WRITTEN, "new", {"url": "gpu9"})
    assert added == WRITTEN + "    new:\n      url: gpu9\n"
    assert with_entry(WRITTEN.rstrip("\n"), "new", {"url": "gpu9"}) == added
    assert without_entry(WRITTEN, "nobody") == WRITTEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "hosts:\n",
        "hosts: {}\n",
        "hosts: {a: gpu1, b: gpu2}\n",
        "hosts:\n  a: &x {url: gpu1}\n  b: *x\n",
        "hosts:\n  a: >-\n    ssh://gpu1\n  b: gpu2",
        '{"hosts": {"a": "gpu1"}}',
        "---\nhosts:\n  a: gpu1\n...\n",
    ],
)
def test_any_form_of_the_file_can_be_changed(text: str) -> None:
    before = dict(read_hosts(text).entries)
    changed = read_hosts(with_entry(text, "new", {"url": "ssh://gpu9"}))
    assert changed.problems == {}
    assert changed.entries == before | {"new": HostEntry("new", "ssh://gpu9")}
    back = read_hosts(without_entry(with_entry(text, "new", {"url": "ssh://gpu9"}), "new"))
    assert back.entries == before
    if "a" in before:
        assert list(read_hosts(without_entry(text, "a")).entries) == [name for name in before if name != "a"]


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(
    st.dictionaries(NAMES, st.booleans(), max_size=5), NAMES, st.text(alphabet="# \nab:{}[]-'\"", max_size=30)
)
def test_an_edit_changes_one_entry_whatever_stands_around_it(
    names: dict[str, bool], name: str, noise: str
) -> None:
    lines = [
        f"  {each}: {{url: gpu1, paused: {str(flag).lower()}}}\n  # {each}" for each, flag in names.items()
    ]
    text = "\n".join(["hosts:", *lines, noise])
    try:
        before = dict(read_hosts(text).entries)
    except BadRequest:
        return
    after = read_hosts(with_entry(text, name, {"url": "gpu2"}))
    assert after.entries == before | {name: HostEntry(name, "gpu2")}
    assert read_hosts(without_entry(text, name)).entries == {
        each: entry for each, entry in before.items() if each != name
    }


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["url", "context", "tls", "ssh", "labels", "allocated", "gpus", "insecure", "paused", "x"]
)


@given(
    st.dictionaries(
        st.text(max_size=6), ANYTHING | st.dictionaries(MEMBERS, ANYTHING, max_size=4), max_size=4
    )
)
def test_no_file_is_a_fault(hosts: dict[str, Any]) -> None:
    try:
        text = yaml.safe_dump({"hosts": hosts})
        written = read_hosts(text)
    except (BadRequest, yaml.YAMLError):
        return
    assert len(written.entries) + len(written.problems) <= len(hosts) + 1
    for name, entry in written.entries.items():
        assert read_hosts(with_entry("", name, to_file(entry))).entries == {name: entry}


@given(st.text(max_size=60))
def test_no_text_is_a_fault(text: str) -> None:
    try:
        read_hosts(text)
    except BadRequest as error:
        assert len(error.message) < 500


def test_everything_that_can_be_ordered_is_kept_and_read_again() -> None:
    order = AddHost(
        url="tcp://10.0.0.7:2376",
        tls=TlsFiles(ca="/c/ca.pem", cert="/c/cert.pem", key="/c/key.pem"),
        labels={"room": "basement", "true": "1"},
        allocated=ResourcesConfig(cpu="90%", gpu="2"),
        gpus=[GPU(index=0, name="A100", vendor="NVIDIA", memory=81920)],
        paused=True,
    )
    entry = entry_of(order, "gpu2")
    assert read_hosts(with_entry("", "gpu2", to_file(entry))).entries == {"gpu2": entry}
    over_ssh = entry_of(
        AddHost(
            url="gpu1", ssh=SshSettings(options={"Port": "2222"}, socket="/run/x.sock", through="dial-stdio")
        )
    )
    assert read_hosts(with_entry("", "gpu1", to_file(over_ssh))).entries == {"gpu1": over_ssh}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ssh://alice@gpu1", "gpu1"),
        ("alice@GPU1.lab.example", "gpu1"),
        ("ssh://10.0.0.7", "10-0-0-7"),
        ("tcp://[::1]:2376", "1"),
        ("unix:///run/user/1000/podman/podman.sock", "podman"),
        ("unix:///var/run/docker.sock", "docker"),
        ("/home/ann/.colima/default/docker.sock", "default"),
        ("my_gpu", "my-gpu"),
    ],
)
def test_a_host_is_called_after_its_address(url: str, name: str) -> None:
    assert suggested_name(url) == name


def test_two_changes_at_the_same_time_both_count(tmp_path: Path) -> None:
    file = HostsFile(tmp_path)
    threads = [
        threading.Thread(target=file.put, args=(HostEntry(f"gpu{number}", "ssh://gpu"),))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read().entries) == 8


@pytest.mark.parametrize("count", [65, 1000])
def test_too_many_gpus_of_a_caller_are_refused(count: int) -> None:
    with pytest.raises(BacalhauError):
        entry_of(AddHost(url="gpu1", gpus=[GPU(index=0, name="x", vendor="NVIDIA")] * count))


def test_a_bomb_of_aliases_and_ten_thousand_hosts_are_told_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    for bomb in ("\n".join([*lines, "hosts: *a11"]), "hosts: " + "[" * 50_000, "hosts: " + "{a: " * 50_000):
        with pytest.raises(BadRequest, match="it is not YAML"):
            read_hosts(bomb)
    many = read_hosts("hosts:\n" + "".join(f"  h{number}: ssh://a@h{number}\n" for number in range(10_000)))
    assert len(many.entries) == MOST_HOSTS
    assert many.problems == {"": f"there are more than {MOST_HOSTS} hosts; the others are left out"}


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=id",
        "ssh://-oProxyCommand=id/",
        "{url: 'ssh://-oProxyCommand=id@gpu1'}",
        "{url: ssh://gpu1, ssh: {options: {ProxyCommand: id}}}",
        "{url: ssh://gpu1, ssh: {options: {User: -oProxyCommand=id}}}",
        "{url: ssh://gpu1, ssh: {socket: '-oProxyCommand=id'}}",
        "{url: ssh://gpu1, ssh: {socket: '/x:/etc/shadow'}}",
        "{context: '--host=x'}",
    ],
)
def test_what_is_an_option_of_a_program_is_no_part_of_an_entry(text: str) -> None:
    written = read_hosts(f"hosts:\n  gpu1: {text}\n  '-oProxyCommand=id': ssh://gpu2\n  ok: ssh://gpu3\n")
    assert list(written.entries) == ["ok"]
    assert len(written.problems) == 2


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hosts.yaml")
    file = HostsFile(tmp_path)
    assert "it is no file" in file.read().problems[""]
    with pytest.raises(ConfigurationError, match="it is no file"):
        file.remove("gpu1")

"""The repo directory: paths, secrets, identity."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.config.files import create_once, write_atomic
from bacalhau_jupyter.config.filesystems import on_network
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ConfigurationError, IOFailure


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_repo_is_found_in_a_fixed_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    both = {"BACALHAU_DIR": "/from/env", "BACALHAU_JUPYTER_NODE": "/from/jupyter"}
    assert Repo.locate("/given", both).path == Path("/given")
    assert Repo.locate(None, both).path == Path("/from/env")
    assert Repo.locate(None, {"BACALHAU_JUPYTER_NODE": "/from/jupyter"}).path == Path("/from/jupyter")
    assert Repo.locate(None, {}).path == Path("/home/someone/.bacalhau")


def test_a_relative_repo_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Repo("a dir").path == tmp_path / "a dir"


def test_locating_creates_nothing_and_opening_creates_a_private_directory(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "repo"
    Repo.locate(path)
    assert not path.exists()
    repo = Repo.open(path)
    assert mode(path) == 0o700
    assert mode(repo.directory(repo.compute_dir / "executions")) == 0o700


def test_a_repo_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IOFailure, match=r"can't create the data directory .*file/repo: Not a directory"):
        Repo.open(tmp_path / "file" / "repo")


def test_secrets_are_made_once_and_private(repo: Repo) -> None:
    assert not repo.api_key_file.exists()
    assert repo.api_key() == repo.api_key() == Repo(repo.path).api_key()
    assert len(repo.api_key()) >= 40
    assert repo.signing_key() == Repo(repo.path).signing_key()
    assert len(repo.signing_key()) == 32
    assert mode(repo.api_key_file) == mode(repo.signing_key_file) == 0o600
    assert sorted(path.name for path in repo.path.iterdir()) == ["api.key", "signing.key"]


def test_a_secret_left_open_is_closed_again(repo: Repo) -> None:
    key = repo.api_key()
    repo.api_key_file.chmod(0o644)
    assert repo.api_key() == key
    assert mode(repo.api_key_file) == 0o600


def test_a_damaged_secret_is_refused(repo: Repo) -> None:
    repo.api_key_file.write_text("")
    with pytest.raises(IOFailure, match=r"api\.key is empty"):
        repo.api_key()
    repo.signing_key_file.write_text("not hex")
    with pytest.raises(IOFailure, match="does not hold a key"):
        repo.signing_key()


def test_processes_that_ask_at_once_get_the_same_key(repo: Repo) -> None:
    code = (
        "import sys; from bacalhau_jupyter.config.repo import Repo; sys.stdin.read();"
        "sys.stdout.write(Repo(sys.argv[1]).api_key())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(repo.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.stdin = None
    assert len({child.communicate(timeout=60)[0] for child in children}) == 1


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, "one")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert create_once(path, "three") == "two"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(IOFailure, match="can't write"):
        write_atomic(tmp_path / "no" / "f", "x")


def test_a_node_keeps_its_name_and_official_metadata(repo: Repo) -> None:
    name = repo.node_name()
    assert name.startswith("n-")
    assert repo.node_name("hostname") == name
    instance = repo.instance_id()
    assert Repo(repo.path).instance_id() == instance
    official = yaml.load(repo.metadata_file.read_text(), Loader=yaml.BaseLoader)
    assert official == {
        "RepoVersion": "5",
        "InstanceID": instance,
        "LastUpdateCheck": "0001-01-01T00:00:00Z",
        "NodeName": name,
    }


def test_metadata_of_the_official_node_is_kept(repo: Repo) -> None:
    repo.metadata_file.write_text(
        'RepoVersion: 5\nInstanceID: abc\nLastUpdateCheck: 2026-01-01T00:00:00.5Z\nNodeName: ""\nExtra: x\n'
    )
    assert repo.instance_id() == "abc"
    repo.node_name("uuid")
    assert repo.metadata()["LastUpdateCheck"] == "2026-01-01T00:00:00.5Z"
    assert repo.metadata()["Extra"] == "x"
    assert len(repo.metadata()["NodeName"]) == 36


def test_a_host_name_becomes_a_name_without_dots(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box.example.org")
    assert repo.node_name("hostname") == "box-example-org"


def test_an_unavailable_name_provider_is_refused(repo: Repo) -> None:
    with pytest.raises(ConfigurationError, match="NameProvider aws is not available"):
        repo.node_name("aws")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ext4", False),
        ("overlay", False),
        ("nfs4", True),
        ("cifs", True),
        ("fuse.sshfs", True),
        ("fuse.ntfs-3g", False),
    ],
)
def test_network_file_systems_are_recognised(kind: str, expected: bool, tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 0:99 / / rw - nfs other rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / {tmp_path} rw,noatime shared:1 - {kind} /dev/x rw\n"
    )
    assert on_network(tmp_path, table) is expected


def test_an_unknown_file_system_counts_as_local(tmp_path: Path) -> None:
    assert on_network(tmp_path, tmp_path / "missing") is False
    assert on_network(tmp_path / "missing") is False


def test_a_directory_that_the_official_program_made_is_taken_over_as_it_is(tmp_path: Path) -> None:
    texts = {
        "system_metadata.yaml": (
            'RepoVersion: 4\nInstanceID: 0a1b\nLastUpdateCheck: 0001-01-01T00:00:00Z\nNodeName: ""\n'
        ),
        "tokens.json": '{"http://127.0.0.1:1234": {"Scheme": "Bearer", "Value": "x"}}',
        "user_id.pem": "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n",
        "config.yaml": "api:\n    port: 1299\nlabels:\n    a: b\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    repo = Repo.open(tmp_path, environ={})
    assert repo.instance_id() == "0a1b"
    name = repo.node_name()
    # The version stays what it was, so that either official version still opens the directory.
    assert repo.metadata() == {
        "RepoVersion": "4",
        "InstanceID": "0a1b",
        "LastUpdateCheck": "0001-01-01T00:00:00Z",
        "NodeName": name,
    }
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in list(texts)[1:]} == dict(
        list(texts.items())[1:]
    )

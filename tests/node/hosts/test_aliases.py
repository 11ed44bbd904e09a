"""The hosts of an ssh configuration, and the Docker contexts, that a person may choose from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.host_orders import AddHost
from bacalhau_jupyter.models.records.hosts import SshAlias
from bacalhau_jupyter.node.hosts.aliases import read_aliases
from bacalhau_jupyter.node.hosts.docker import DockerWays
from bacalhau_jupyter.node.hosts.trials import meant
from bacalhau_jupyter.node.hosts.written.entries import HostEntry
from tests.node.hosts.conftest import MakeConfig
from tests.services.node import running_node

CONFIG = """\
Include conf.d/*.conf
Host gpu1 gpu2
    HostName 10.0.0.7
    User=alice
Host *.lab !bad?
    User nobody
Match host x
    HostName elsewhere
Host gpu1
    HostName later
host = plain
"""


def test_names_without_wildcards_are_offered_with_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "work.conf").write_text("Host office\n  HostName office.example\n")
    (tmp_path / "config").write_text(CONFIG)
    assert read_aliases(tmp_path / "config") == [
        SshAlias(name="office", shown="office.example"),
        SshAlias(name="gpu1", shown="alice@10.0.0.7"),
        SshAlias(name="gpu2", shown="alice@10.0.0.7"),
        SshAlias(name="plain"),
    ]
    assert read_aliases(tmp_path / "none") == []


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Include config\nHost gpu1\n")
    assert read_aliases(tmp_path / "config") == [SshAlias(name="gpu1")]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_configuration_is_a_fault(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "config")
        file.write_text(f"Host a\n{text}", encoding="utf-8")
        assert all(alias.name for alias in read_aliases(file))


def test_a_name_that_is_nearly_an_alias_is_a_slip_of_the_pen() -> None:
    aliases = [SshAlias(name=name) for name in ("gpu1", "cluster-login", "gitlab.com")]
    for url, name in {
        "ssh://alice@gup1": "gpu1",
        "alice@gpu": "gpu1",
        "cluster-logn": "cluster-login",
        "ssh://alice@gpu1": "",
        "ssh://alice@10.0.0.7": "",
        "ssh://storage": "",
        "tcp://gup1:2376": "",
        "unix:///run/gup1": "",
    }.items():
        assert meant(HostEntry(name="x", url=url, insecure=True), aliases) == name, url
    assert meant(HostEntry(name="x", context="gup1"), aliases) == ""


async def test_whoever_mistypes_an_alias_is_asked_whether_it_was_meant(
    api: AsyncAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DockerWays, "aliases", lambda ways: [SshAlias(name="gpu1.invalid")])
    typo = AddHost(name="gpu1", url="ssh://alice@gup1.invalid")
    tried = await api.hosts.try_out(typo)
    (failed,) = (step for step in tried.steps if step.ok is False)
    assert failed.hint.startswith("did you mean gpu1.invalid?")
    with pytest.raises(BadRequest, match=r"gup1\.invalid") as caught:
        await api.hosts.add(typo)
    assert caught.value.hint.startswith("did you mean gpu1.invalid?")


async def test_a_path_that_no_socket_can_have_is_refused_also_anyway(api: AsyncAPI) -> None:
    url = f"unix:///{'x' * 120}/docker.sock"
    with pytest.raises(BadRequest, match=r"the path of a socket has \d+ bytes at most, and this one has 133"):
        await api.hosts.add(AddHost(name="long", url=url, anyway=True))


async def test_only_who_has_all_rights_is_told_what_the_owner_could_add(
    node_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    meta = tmp_path / "docker" / "contexts" / "meta" / hashlib.sha256(b"lab").hexdigest()
    meta.mkdir(parents=True)
    described = {"Name": "lab", "Metadata": {}, "Endpoints": {"docker": {"Host": "ssh://alice@10.0.0.7"}}}
    (meta / "meta.json").write_text(json.dumps(described))
    keys = {"reads": "a-key-that-reads-0123456", "all": "a-key-with-all-rights-0123"}
    users = [
        {"Alias": "reads", "APIKey": keys["reads"], "Capabilities": [{"Actions": ["read:*"]}]},
        {"Alias": "all", "APIKey": keys["all"], "Capabilities": [{"Actions": ["*"]}]},
    ]
    names = {}
    async with running_node(node_config(WebUI__Enabled=False, API__Auth__Users=users)) as node:
        for alias, key in keys.items():
            api = AsyncAPI(Endpoint(url=node.url, token=key))
            try:
                hosts = await api.hosts.list()
            finally:
                await api.close()
            names[alias] = [each.name for each in hosts.contexts]
            assert alias == "all" or not hosts.aliases
    assert names == {"reads": [], "all": ["lab"]}

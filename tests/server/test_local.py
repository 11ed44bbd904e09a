"""Which cluster a Jupyter server is connected to, and what its children inherit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_jupyter.config.choice.inheritance import Inheritance
from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.election import NodeLock
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ServiceUnavailable
from bacalhau_jupyter.server.cluster.local import find_cluster


def node_of(repo: Repo) -> NodeLock:
    lock = NodeLock.acquire(repo, "0")
    lock.publish("127.0.0.1", 4321)
    return lock


def test_the_users_own_address_is_the_cluster_and_stays_as_it_is(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    environ = {"BACALHAU_API_HOST": "cluster.example", "BACALHAU_API_PORT": "80"}
    with node_of(repo) as node:
        endpoint = find_cluster(repo, environ=environ)
        assert endpoint.url == "http://cluster.example:80"
        Inheritance(repo, environ).publish(Endpoint.of_record(repo, node.record))
    assert environ == {"BACALHAU_API_HOST": "cluster.example", "BACALHAU_API_PORT": "80"}


def test_what_another_jupyter_server_left_for_its_children_is_not_the_users_choice(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "mine")
    environ = {
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": "1",
        "BACALHAU_API_KEY": "other",
        "BACALHAU_JUPYTER_NODE": str(tmp_path / "other"),
    }
    with node_of(repo):
        endpoint = find_cluster(repo, environ=environ)
        assert (endpoint.url, endpoint.embedded) == ("http://127.0.0.1:4321", True)
        Inheritance(repo, environ).publish(endpoint)
    assert environ == {
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": "4321",
        "BACALHAU_API_KEY": repo.api_key(),
        "BACALHAU_JUPYTER_NODE": str(repo.path),
    }


def test_a_kernel_that_inherits_the_address_finds_the_same_node(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    environ: dict[str, str] = {}
    with node_of(repo) as node:
        inheritance = Inheritance(repo, environ)
        inheritance.publish(Endpoint.of_record(repo, node.record))
        endpoint = resolve_endpoint(Repo.locate(environ=environ), environ=environ)
        assert endpoint is not None
        assert (endpoint.url, endpoint.token) == ("http://127.0.0.1:4321", repo.api_key())
        inheritance.withdraw()
    assert environ == {}


def test_a_key_that_the_user_set_is_kept(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    environ = {"BACALHAU_API_KEY": "mine"}
    with node_of(repo) as node:
        Inheritance(repo, environ).publish(Endpoint.of_record(repo, node.record))
    assert environ["BACALHAU_API_KEY"] == "mine"
    assert environ["BACALHAU_API_PORT"] == "4321"


def test_another_repo_directory_is_inherited_too(tmp_path: Path) -> None:
    environ = {"BACALHAU_DIR": str(tmp_path / "usual")}
    inheritance = Inheritance(Repo(tmp_path / "chosen"), environ)
    inheritance.publish_directory()
    assert environ == {"BACALHAU_DIR": str(tmp_path / "chosen")}
    inheritance.withdraw()
    assert environ == {"BACALHAU_DIR": str(tmp_path / "usual")}


def test_without_autostart_and_without_a_node_the_error_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"no node runs for .*autostart is off") as caught:
        find_cluster(Repo(tmp_path), environ={}, autostart=False)
    assert "serve" in caught.value.hint


def test_children_of_a_server_with_an_encrypted_node_learn_how_to_believe_it(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    environ: dict[str, str] = {}
    with NodeLock.acquire(repo, "0") as lock:
        record = lock.publish("127.0.0.1", 4321, scheme="https", ca_file="/ca.pem")
        outer = Inheritance(repo, environ)
        outer.publish(Endpoint.of_record(repo, record))
        assert environ["BACALHAU_API_TLS_USETLS"] == "true"
        assert environ["BACALHAU_API_TLS_CAFILE"] == "/ca.pem"
        # A server that is started from there has a node of its own, which is not encrypted.
        inner_environ = dict(environ)
        Inheritance(Repo(tmp_path / "inner"), inner_environ).publish(
            Endpoint.of_record(repo, replace(record, scheme="http", ca_file=""))
        )
        assert inner_environ["BACALHAU_API_TLS_USETLS"] == ""
        outer.withdraw()
    assert environ == {}

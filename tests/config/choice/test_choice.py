"""Which cluster is chosen: who decides it, and that a change is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_jupyter.config.choice.choice import cluster_choice, fixed_by
from bacalhau_jupyter.config.choice.inheritance import Inheritance
from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.election import NodeLock
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import NODE_MARKER, Repo


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    store = ProfileStore(tmp_path / "profiles")
    store.save("a", Profile(endpoint="http://a:1"))
    store.save("b", Profile(endpoint="http://b:1"))
    return store


def test_another_profile_another_token_and_another_variable_each_change_the_choice(
    store: ProfileStore, tmp_path: Path
) -> None:
    environ = {"BACALHAU_DIR": str(tmp_path)}
    choices = [cluster_choice(environ)]
    store.select("a")
    choices.append(cluster_choice(environ))
    store.select("b")
    choices.append(cluster_choice(environ))
    store.save("b", Profile(endpoint="http://b:1", token="new"))
    choices.append(cluster_choice(environ))
    choices.append(cluster_choice({**environ, "BACALHAU_API_HOST": "h"}))
    choices.append(cluster_choice({**environ, "BACALHAU_PROFILE": "a"}))
    assert len(set(choices)) == len(choices)
    store.deselect()
    assert cluster_choice(environ) == choices[0]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, ""),
        ({"BACALHAU_API_HOST": "h"}, "BACALHAU_API_HOST"),
        ({"BACALHAU_API_HOST": "h", NODE_MARKER: "/repo"}, ""),
        ({"BACALHAU_PROFILE": "p", NODE_MARKER: "/repo"}, "BACALHAU_PROFILE"),
    ],
)
def test_only_what_the_user_set_fixes_the_cluster(environ: dict[str, str], name: str) -> None:
    assert fixed_by(environ) == name


def test_a_selected_profile_takes_the_address_out_of_the_environment_and_the_way_back_brings_it(
    store: ProfileStore, tmp_path: Path
) -> None:
    repo = Repo(tmp_path)
    environ: dict[str, str] = {}
    inheritance = Inheritance(repo, environ)
    with NodeLock.acquire(repo, "0") as node:
        node.publish("127.0.0.1", 4321)
        own = Endpoint.of_record(repo, node.record)
        inheritance.publish(own)
        before = dict(environ)
        assert {"BACALHAU_API_HOST", "BACALHAU_API_PORT", "BACALHAU_API_KEY"} <= set(environ)
        store.select("a")
        other = resolve_endpoint(repo, environ=environ)
        assert other is not None
        inheritance.publish(other)
        # Official programs prefer an address in a variable to the selected profile.
        assert environ == {NODE_MARKER: str(tmp_path)}
        inheritance.publish(own)
        assert environ == before
    inheritance.withdraw()
    assert environ == {}


def test_a_user_and_a_password_of_a_profile_are_sent_where_there_is_no_token(
    store: ProfileStore, tmp_path: Path
) -> None:
    profile = Profile(endpoint="http://a:1", user="me", password="hush")
    store.save("a", profile)
    assert store.load("a") == profile
    assert "hush" not in repr(profile)
    endpoint = resolve_endpoint(Repo(tmp_path), "a", environ={})
    assert endpoint is not None and endpoint.headers() == {"Authorization": "Basic bWU6aHVzaA=="}
    store.save("a", replace(profile, token="t"))
    endpoint = resolve_endpoint(Repo(tmp_path), "a", environ={})
    assert endpoint is not None and endpoint.headers() == {"Authorization": "Bearer t"}

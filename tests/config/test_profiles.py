"""Profiles in the official CLI's files."""

from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.config.files import locked
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, NotFound

PROD = Profile(
    endpoint="https://api.example.com:443", token="secret", description="Prod", timeout="1m", insecure=True
)


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "profiles")


def test_a_profile_is_stored_under_the_official_names(store: ProfileStore, tmp_path: Path) -> None:
    store.save("prod", PROD)
    path = tmp_path / "profiles" / "prod.yaml"
    assert yaml.safe_load(path.read_text()) == {
        "endpoint": "https://api.example.com:443",
        "description": "Prod",
        "timeout": "1m",
        "auth": {"token": "secret"},
        "tls": {"insecure": True},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert store.load("prod") == PROD
    assert PROD.timeout_s == 60


def test_a_profile_with_only_an_endpoint(store: ProfileStore, tmp_path: Path) -> None:
    store.save("plain", Profile(endpoint="localhost:1234"))
    assert (tmp_path / "profiles" / "plain.yaml").read_text() == "endpoint: localhost:1234\n"
    assert store.load("plain").timeout_s == 30


def test_selecting_deleting_and_listing(store: ProfileStore, tmp_path: Path) -> None:
    assert (store.names(), store.current()) == ([], None)
    store.save("b", PROD)
    store.save("a", PROD)
    store.select("a")
    store.select("b")
    assert (store.names(), store.current()) == (["a", "b"], "b")
    assert (tmp_path / "profiles" / "current").readlink() == Path("b.yaml")
    store.delete("b")
    assert (store.names(), store.current()) == (["a"], None)
    assert sorted(path.name for path in (tmp_path / "profiles").iterdir()) == ["a.yaml"]


def test_a_link_to_a_profile_that_is_gone_selects_nothing(store: ProfileStore, tmp_path: Path) -> None:
    store.save("a", PROD)
    store.select("a")
    (tmp_path / "profiles" / "a.yaml").unlink()
    assert store.current() is None


@pytest.mark.parametrize("action", ["load", "select", "delete"])
def test_an_unknown_profile_is_not_found_and_the_known_ones_are_named(
    store: ProfileStore, action: str
) -> None:
    store.save("known", PROD)
    with pytest.raises(NotFound, match='profile "prod" not found') as caught:
        getattr(store, action)("prod")
    assert "known" in caught.value.hint


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", ".hidden", "..", "a\0b"])
def test_a_name_never_leaves_the_directory(store: ProfileStore, name: str) -> None:
    with pytest.raises(BadRequest, match="is not a name for a profile"):
        store.save(name, PROD)
    with pytest.raises(BadRequest):
        store.load(name)


def test_unusable_profiles_are_not_saved(store: ProfileStore) -> None:
    with pytest.raises(BadRequest, match="needs an endpoint"):
        store.save("a", Profile(endpoint=" "))
    with pytest.raises(BadRequest, match='invalid timeout "soon"'):
        store.save("a", Profile(endpoint="x", timeout="soon"))
    assert store.names() == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "not YAML"),
        ("- 1", "is not a profile"),
        ("auth: x\nendpoint: y", "is not a profile"),
        ("description: x", "has no endpoint"),
        ("endpoint: x\ntimeout: soon", "is not a duration"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(
    store: ProfileStore, tmp_path: Path, text: str, sentence: str
) -> None:
    store.save("a", PROD)
    (tmp_path / "profiles" / "a.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        store.load("a")
    assert "a.yaml" in caught.value.message


def test_an_authority_is_kept_beside_the_official_members(store: ProfileStore, tmp_path: Path) -> None:
    store.save("own", Profile("https://node:1234", ca_file="/etc/ca.pem"))
    assert yaml.safe_load((tmp_path / "profiles/own.yaml").read_text())["tls"] == {"ca": "/etc/ca.pem"}
    assert store.load("own").ca_file == "/etc/ca.pem"


def test_members_of_others_stay_as_they_are_spelled(store: ProfileStore, tmp_path: Path) -> None:
    path = tmp_path / "profiles" / "a.yaml"
    path.parent.mkdir()
    path.write_text(
        "# by hand\nnew: {version: 007, since: 2026-01-01, on: yes}\nendpoint: h:1\n"
        "auth: {token: old, apikey: 0123}\ntls:\n  insecure: true\n  pins: [a, 0x10]\n"
    )
    store.save("a", replace(store.load("a"), token="new", insecure=False))
    text = path.read_text()
    assert yaml.load(text, yaml.BaseLoader) == {
        "endpoint": "h:1",
        "auth": {"token": "new", "apikey": "0123"},
        "tls": {"pins": ["a", "0x10"]},
        "new": {"version": "007", "since": "2026-01-01", "on": "yes"},
    }
    assert "apikey: 0123\n" in text
    store.save("a", replace(store.load("a"), endpoint="elsewhere:1"))
    assert yaml.safe_load(path.read_text())["auth"] == {"token": "new"}
    store.save("a", Profile("h:1"))
    assert "auth" not in yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("text", "token"),
    [("0123", "0123"), ("1_000", "1_000"), ("0x1F", "0x1F"), ("1e3", "1e3"), ("yes", "yes"), ("~", "")],
)
def test_a_word_is_read_as_it_is_spelled(store: ProfileStore, tmp_path: Path, text: str, token: str) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "a.yaml").write_text(
        f"endpoint: h:1\nauth:\n  token: {text}\ntls: {{insecure: yes}}\n"
    )
    assert store.load("a") == Profile("h:1", token=token, insecure=True)
    store.save("a", store.load("a"))
    assert store.load("a") == Profile("h:1", token=token, insecure=True)


@pytest.mark.parametrize(
    "word", ["0123", "null", "~", "yes", "<<", "a: b", "- x", "# y", "\u00e9", "'", "1e3"]
)
def test_any_word_is_saved_so_that_it_is_read_again(store: ProfileStore, word: str) -> None:
    profile = Profile("h:1", token=word, description=word, user=word, password=word, ca_file=word)
    store.save("a", profile)
    assert store.load("a") == profile


def test_changes_that_happen_at_once_are_all_kept(
    store: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program waits a second for another one, and goes on; each of these holds the lock while its disk writes.
    monkeypatch.setattr("bacalhau_jupyter.config.profiles.store.locked", partial(locked, wait_s=60))
    store.save("a", Profile("h:1"))
    both = threading.Barrier(2)

    def changed(name: str, value: str, now: Profile | None) -> Profile:
        return replace(now or PROD, timeout=value) if name == "timeout" else replace(now or PROD, user=value)

    def change(name: str) -> None:
        both.wait()
        for number in range(1, 51):
            store.change("a", partial(changed, name, f"{number}s"))

    threads = [threading.Thread(target=change, args=(name,)) for name in ("timeout", "user")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.load("a") == Profile("h:1", timeout="50s", user="50s")


def test_a_file_that_an_official_program_has_emptied_for_a_moment_is_read_when_it_is_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "profiles" / "a.yaml"

    def saved_meanwhile(_: float) -> None:
        path.write_text(text)

    store = ProfileStore(path.parent, saved_meanwhile)
    store.save("a", PROD)
    text = path.read_text()
    path.write_text("")
    # However slow the machine is that runs this test.
    os.utime(path, (time.time() + 60, time.time() + 60))
    assert store.load("a") == PROD


def test_a_file_that_has_been_empty_for_long_is_not_waited_for(tmp_path: Path) -> None:
    pauses: list[float] = []
    path = tmp_path / "profiles" / "a.yaml"
    store = ProfileStore(path.parent, pause=pauses.append)
    store.save("a", PROD)
    path.write_text("")
    os.utime(path, (time.time() - 60, time.time() - 60))
    with pytest.raises(ConfigurationError, match="no endpoint"):
        store.load("a")
    store.save("a", PROD)
    assert store.load("a") == PROD
    assert pauses == []


def test_names_that_none_can_have_are_left_out(store: ProfileStore, tmp_path: Path) -> None:
    store.save("a", PROD)
    for name in (".hidden.yaml", ".yaml", "x\n.yaml"):
        (tmp_path / "profiles" / name).write_text("endpoint: h")
    assert store.names() == ["a"]

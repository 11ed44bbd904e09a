"""Logins are kept where the official client keeps them, found again, and forgotten everywhere."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.logins.files import METHODS_FILE, SIGN_ON_FILE, TokenFile
from bacalhau_jupyter.config.logins.keeping import Logins, profile_name
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ConfigurationError

URL = "http://127.0.0.1:26030"
HERE = Endpoint(url=URL)
AT = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": "26030"}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo").create()


def token_at(repo: Repo, environ: dict[str, str], context: str | None = None) -> str | None:
    endpoint = resolve_endpoint(repo, context, environ)
    return None if endpoint is None else endpoint.token


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_single_sign_on_is_kept_as_the_official_client_does(repo) -> None:
    assert Logins(repo).keep_sign_on(HERE, "a.b.c") == "127_0_0_1_26030"
    path = repo.path / SIGN_ON_FILE
    assert json.loads(path.read_text()) == {URL: "a.b.c"}
    assert mode(path) == mode(repo.profiles_dir / "127_0_0_1_26030.yaml") == 0o600
    store = ProfileStore(repo.profiles_dir)
    assert store.current() == "127_0_0_1_26030"
    assert store.load("127_0_0_1_26030") == Profile(endpoint=URL, token="a.b.c")


def test_a_login_is_found_by_address_and_by_profile(repo) -> None:
    Logins(repo).keep_sign_on(HERE, "a.b.c")
    assert token_at(repo, AT) == token_at(repo, {}) == "a.b.c"
    assert token_at(repo, {**AT, "BACALHAU_API_PORT": "26031"}) == ""
    assert token_at(repo, {**AT, "BACALHAU_API_KEY": "key"}) == "key"


def test_a_log_out_clears_both_places_and_every_profile_of_the_cluster(repo) -> None:
    logins, store = Logins(repo), ProfileStore(repo.profiles_dir)
    logins.keep_sign_on(HERE, "a.b.c")
    logins.keep(HERE, "d.e.f")
    store.save("mine", Profile(endpoint="127.0.0.1:26030", token="old", description="d"))
    store.save("other", Profile(endpoint="127.0.0.1:26031", token="stays"))
    (repo.profiles_dir / "damaged.yaml").write_text("- no profile")
    assert logins.forget(HERE)
    assert not token_at(repo, AT)
    assert [store.load(name).token for name in ("mine", "127_0_0_1_26030", "other")] == ["", "", "stays"]
    assert store.load("mine").description == "d"
    assert not logins.forget(HERE)


def test_a_login_in_a_profile_stays_in_that_profile(repo) -> None:
    store = ProfileStore(repo.profiles_dir)
    store.save("team", Profile(endpoint="127.0.0.1:26030", token="expired", timeout="9s"))
    endpoint = resolve_endpoint(repo, "team", {})
    assert endpoint is not None
    assert Logins(repo).keep(endpoint, "d.e.f") == "team"
    assert store.load("team") == Profile(endpoint="127.0.0.1:26030", token="d.e.f", timeout="9s")
    assert Logins(repo).keep_sign_on(endpoint, "a.b.c") == "team"
    assert token_at(repo, {}, "team") == "a.b.c"
    assert store.names() == ["team"]


def test_an_encrypted_cluster_is_logged_in_to_and_out_of_by_an_address_without_a_scheme(repo) -> None:
    store, logins = ProfileStore(repo.profiles_dir), Logins(repo)
    store.save("team", Profile(endpoint="node.test:1234", ca_file="/ca.pem"))
    store.save("plain", Profile(endpoint="node.test:1234"))
    for name, environ in (("team", {}), ("plain", {"BACALHAU_API_TLS_USETLS": "true"})):
        endpoint = resolve_endpoint(repo, name, environ)
        assert endpoint is not None
        assert endpoint.url == "https://node.test:1234"
        assert logins.keep_sign_on(endpoint, "a.b.c") == name
        assert store.load(name).token == "a.b.c"
        logins.keep(endpoint, "d.e.f")
    assert logins.forget(Endpoint("https://node.test:1234"))
    assert [store.load(name).token for name in ("team", "plain")] == ["", ""]
    assert [token_at(repo, {}, name) for name in ("team", "plain")] == ["", ""]


def test_the_profile_of_a_login_knows_the_authority(repo) -> None:
    endpoint = Endpoint("https://node.test:1234", ca_file="/etc/ca.pem", source="argument")
    name = Logins(repo).keep_sign_on(endpoint, "a.b.c")
    assert ProfileStore(repo.profiles_dir).load(name).ca_file == "/etc/ca.pem"
    # An address without a scheme, in a profile that is not in use, would send the token in clear.
    ProfileStore(repo.profiles_dir).save(name, Profile(endpoint="node.test:1234"))
    assert Logins(repo).keep_sign_on(endpoint, "a.b.c") == ""


def test_a_token_never_goes_into_the_profile_of_another_cluster(repo) -> None:
    store = ProfileStore(repo.profiles_dir)
    store.save("127_0_0_1_26030", Profile(endpoint="elsewhere.test:1234"))
    assert Logins(repo).keep_sign_on(HERE, "a.b.c") == ""
    assert store.load("127_0_0_1_26030").token == ""
    assert token_at(repo, AT) == "a.b.c"


def test_a_profile_that_is_in_use_stays_in_use(repo) -> None:
    store = ProfileStore(repo.profiles_dir)
    store.save("mine", Profile(endpoint="elsewhere.test:1234"))
    store.select("mine")
    Logins(repo).keep_sign_on(HERE, "a.b.c")
    assert store.current() == "mine"


@pytest.mark.parametrize("text", ["", "{}", " \n"])
def test_an_empty_file_holds_no_token(tmp_path, text) -> None:
    (tmp_path / METHODS_FILE).write_text(text)
    file = TokenFile(tmp_path / METHODS_FILE)
    assert file.token(URL) == ""
    file.keep(URL, "t")
    assert file.token(URL) == "t"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"u": 7}', '{"u": {"Scheme": "Bearer", "Value": "t"}}', "[" * 99_999]
)
def test_a_damaged_file_stops_nobody_from_calling_and_is_not_overwritten(repo, text) -> None:
    path = repo.path / METHODS_FILE
    path.write_text(text)
    assert token_at(repo, AT) == ""
    with pytest.raises(ConfigurationError, match="holds no tokens"):
        Logins(repo).keep(HERE, "t")
    assert path.read_text() == text


@pytest.mark.parametrize("token", ["a\r\nX-Header: b", "a b", "\u00e9", "\x1b[2J"])
def test_what_can_t_stand_in_a_header_is_no_token(repo, token) -> None:
    (repo.path / SIGN_ON_FILE).write_text(json.dumps({URL: token}))
    assert token_at(repo, AT) == ""


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "127_0_0_1_26030"),
        ("https://my-node.example.com", "my_node_example_com"),
        ("http://[::1]:1234", "1_1234"),
        ("http://localhost:1234", "localhost_1234"),
    ],
)
def test_profiles_have_the_official_names(url, name) -> None:
    assert profile_name(url) == name

"""Which cluster a client ends up with."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme

from bacalhau_jupyter.config.choice.resolving import endpoint_of_url, resolve_endpoint
from bacalhau_jupyter.config.election import NodeLock
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ConfigurationError, NotFound


@pytest.fixture
def running(repo: Repo) -> Iterator[Repo]:
    """Return a repo whose node is this very process."""
    with NodeLock.acquire(repo, "1.0") as lock:
        lock.publish("127.0.0.1", 4321)
        yield repo


@pytest.fixture
def profiles(repo: Repo) -> ProfileStore:
    store = ProfileStore(repo.profiles_dir)
    store.save("prod", Profile(endpoint="https://api.example.com:443/base/", token="t", timeout="5s"))
    store.save("lab", Profile(endpoint="lab.example:7", insecure=True))
    return store


def found(repo: Repo, context: str | None = None, **environ: str) -> Endpoint:
    endpoint = resolve_endpoint(repo, context, environ)
    assert endpoint is not None
    return endpoint


def test_each_source_yields_to_the_one_before(running: Repo, profiles: ProfileStore) -> None:
    assert found(running).source == "local node"
    profiles.select("prod")
    assert found(running).source == "profile prod"
    variables = {"BACALHAU_API_PORT": "9"}
    assert found(running, **variables).source == "environment"
    variables["BACALHAU_PROFILE"] = "lab"
    assert found(running, **variables).source == "profile lab"
    assert found(running, "prod", **variables).source == "profile prod"


def configure(repo: Repo, text: str) -> None:
    (repo.path / "config.yaml").write_text(text, encoding="utf-8")


def test_the_config_file_names_the_cluster_where_nothing_else_does(
    repo: Repo, profiles: ProfileStore
) -> None:
    configure(repo, "api: {host: api.example, port: 7}\n")
    assert found(repo).url == "http://api.example:7"
    # One of the two may come from elsewhere.
    assert found(repo, BACALHAU_API_PORT="9").url == "http://api.example:9"
    profiles.select("prod")
    assert found(repo).source == "profile prod"


def test_an_option_outranks_variables_and_profiles(repo: Repo, profiles: ProfileStore) -> None:
    profiles.select("prod")
    environ = {"BACALHAU_API_PORT": "9", "BACALHAU_PROFILE": "lab"}
    endpoint = resolve_endpoint(repo, None, environ, ["API.Host=api.example", "api.port=7"])
    assert endpoint is not None
    assert endpoint.url == "http://api.example:7"


def test_a_program_at_the_configured_port_of_this_machine_is_used_instead_of_a_second_node(
    repo: Repo, unused_tcp_port: int
) -> None:
    # One that nobody else gets once it is given back.
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        configure(repo, f"API: {{Port: {unused_tcp_port}}}\n")
        endpoint = found(repo)
        assert (endpoint.url, endpoint.embedded) == (f"http://127.0.0.1:{unused_tcp_port}", False)
        # It is not this directory's node, so it does not get its key.
        assert not endpoint.token
    # Nobody listens there: this directory's own node starts, and listens at that port.
    assert resolve_endpoint(repo, environ={}) is None


def test_the_running_node_of_a_directory_outranks_the_port_its_file_names(running: Repo) -> None:
    configure(running, "API: {Host: 0.0.0.0, Port: 1}\n")
    assert found(running).url == "http://127.0.0.1:4321"


def test_nothing_configured_and_no_node_gives_nothing(repo: Repo) -> None:
    assert resolve_endpoint(repo, environ={}) is None


def test_the_local_node_comes_with_the_repos_key(running: Repo) -> None:
    endpoint = found(running)
    assert endpoint.url == "http://127.0.0.1:4321"
    assert endpoint.token == running.api_key()
    assert endpoint.embedded
    assert endpoint.headers() == {"Authorization": f"Bearer {running.api_key()}"}
    assert endpoint.ssl() is True


def test_a_node_that_is_still_starting_is_not_an_endpoint(repo: Repo) -> None:
    with NodeLock.acquire(repo, "1.0"):
        assert resolve_endpoint(repo, environ={}) is None


def test_values_that_carry_the_mark_are_not_the_users(running: Repo, profiles: ProfileStore) -> None:
    marked = {
        "BACALHAU_JUPYTER_NODE": str(running.path),
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": "1",
        "BACALHAU_API_KEY": "stale",
    }
    assert found(Repo.locate(None, marked), **marked).url == "http://127.0.0.1:4321"
    profiles.select("prod")
    assert found(running, **marked).token == "t"


def test_profiles(repo: Repo, profiles: ProfileStore) -> None:
    prod, lab = found(repo, "prod"), found(repo, "lab")
    assert (prod.url, prod.token, prod.timeout_s) == ("https://api.example.com:443/base", "t", 5.0)
    assert (lab.url, lab.headers(), lab.insecure, lab.embedded) == ("http://lab.example:7", {}, True, False)
    with pytest.raises(NotFound, match='profile "nope" not found'):
        resolve_endpoint(repo, "nope", {})


def test_a_key_in_the_environment_outranks_a_profiles_token(repo: Repo, profiles: ProfileStore) -> None:
    assert found(repo, "prod", BACALHAU_API_KEY="mine").token == "mine"
    basic = found(repo, "prod", BACALHAU_API_USERNAME="u", BACALHAU_API_PASSWORD="p")
    assert basic.headers() == {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"BACALHAU_API_HOST": "box"}, "http://box:1234"),
        ({"BACALHAU_API_PORT": "5"}, "http://127.0.0.1:5"),
        ({"BACALHAU_API_HOST": "0.0.0.0", "BACALHAU_API_PORT": "5"}, "http://127.0.0.1:5"),
        ({"BACALHAU_API_HOST": "::1"}, "http://[::1]:1234"),
        ({"BACALHAU_API_HOST": "box", "BACALHAU_HTTPS": "1"}, "https://box:1234"),
        ({"BACALHAU_NODE_CLIENTAPI_HOST": "box", "BACALHAU_NODE_CLIENTAPI_PORT": "7"}, "http://box:7"),
        ({"BACALHAU_API_HOST": "box", "BACALHAU_API_TLS_USETLS": "true"}, "https://box:1234"),
    ],
)
def test_addresses_in_the_environment(repo: Repo, environ: dict[str, str], url: str) -> None:
    assert found(repo, **environ).url == url


def test_a_variable_of_older_versions_outranks_a_profile_as_that_of_today_does(
    repo: Repo, profiles: ProfileStore
) -> None:
    profiles.select("prod")
    assert found(repo, BACALHAU_NODE_CLIENTAPI_HOST="box").url == "http://box:1234"


def test_the_environment_may_name_the_local_node_itself(running: Repo) -> None:
    endpoint = found(running, BACALHAU_API_PORT="4321")
    assert endpoint.embedded
    assert endpoint.token == running.api_key()


def test_an_insecure_endpoint_skips_the_certificate_only_over_https(repo: Repo) -> None:
    environ = {"BACALHAU_API_HOST": "box", "BACALHAU_HTTPS": "1", "BACALHAU_API_TLS_INSECURE": "true"}
    context = found(repo, **environ).ssl()
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_NONE
    assert Endpoint(url="http://box:1", insecure=True).ssl() is True


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"BACALHAU_API_PORT": "x"}, "BACALHAU_API_PORT: API.Port must be a port number"),
        ({"BACALHAU_API_HOST": "a", "BACALHAU_API_USERNAME": "u"}, "must be set together"),
        (
            {
                "BACALHAU_API_PORT": "1",
                "BACALHAU_API_KEY": "k",
                "BACALHAU_API_USERNAME": "u",
                "BACALHAU_API_PASSWORD": "p",
            },
            "can't both be set",
        ),
    ],
)
def test_half_a_credential_or_a_bad_port_is_refused(
    repo: Repo, environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        resolve_endpoint(repo, environ=environ)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("box", "http://box:1234"),
        ("box:7", "http://box:7"),
        ("[::1]:7", "http://[::1]:7"),
        ("http://box:7/", "http://box:7"),
        ("https://hub.example/user/x/bacalhau/", "https://hub.example/user/x/bacalhau"),
    ],
)
def test_endpoints_of_profiles_are_completed(repo: Repo, endpoint: str, url: str) -> None:
    ProfileStore(repo.profiles_dir).save("p", Profile(endpoint=endpoint))
    assert found(repo, "p").url == url


@pytest.mark.parametrize("endpoint", ["ftp://box", "box:port"])
def test_unusable_endpoints_are_refused(repo: Repo, endpoint: str) -> None:
    ProfileStore(repo.profiles_dir).save("p", Profile(endpoint=endpoint))
    with pytest.raises(ConfigurationError, match="is not an endpoint"):
        found(repo, "p")


def test_how_clients_speak_tls_comes_from_the_config_file_too(repo: Repo) -> None:
    (repo.path / "config.yaml").write_text("API: {TLS: {UseTLS: true, Insecure: true}}\n", encoding="utf-8")
    endpoint = found(repo, BACALHAU_API_HOST="api.example")
    assert endpoint.url == "https://api.example:1234"
    assert endpoint.insecure
    assert found(repo, BACALHAU_API_HOST="a", BACALHAU_API_TLS_USETLS="false").url == "http://a:1234"


def test_a_plain_address_of_a_profile_is_refused_where_https_is_asked(repo: Repo) -> None:
    ProfileStore(repo.profiles_dir).save("p", Profile(endpoint="http://box:7"))
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.UseTLS asks for HTTPS"):
        found(repo, "p", BACALHAU_API_TLS_USETLS="true")
    assert found(repo, "p", BACALHAU_API_TLS_USETLS="false").url == "http://box:7"


def test_a_configured_authority_is_trusted(repo: Repo, profiles: ProfileStore) -> None:
    file = repo.path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    variables = {"BACALHAU_API_HOST": "a", "BACALHAU_HTTPS": "1", "BACALHAU_API_TLS_CAFILE": str(file)}
    for endpoint in (found(repo, **variables), found(repo, "prod", **variables)):
        context = endpoint.ssl()
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert any("trustme" in str(ca["issuer"]) for ca in context.get_ca_certs())


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_an_authority_that_cannot_be_used_is_named(repo: Repo, content: bytes | None) -> None:
    file = repo.path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    endpoint = Endpoint("https://a:1", ca_file=str(file))
    with pytest.raises(ConfigurationError, match=r"API\.TLS\.CAFile: .*ca\.pem can't be used"):
        endpoint.ssl()


def encrypted(repo: Repo) -> NodeLock:
    lock = NodeLock.acquire(repo, "0")
    lock.publish("127.0.0.1", 4321, scheme="https", ca_file=str(repo.path / "ca.pem"))
    return lock


def test_the_encrypted_node_of_this_directory_is_believed_by_its_own_authority_alone(repo: Repo) -> None:
    trustme.CA().cert_pem.write_to_path(str(repo.path / "ca.pem"))
    address = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": "4321"}
    with encrypted(repo):
        # Also where the address is named by somebody who does not know that it is encrypted.
        for endpoint in (
            found(repo),
            found(repo, **address),
            found(repo, BACALHAU_API_TLS_USETLS="1", **address),
        ):
            assert (endpoint.url, endpoint.token) == ("https://127.0.0.1:4321", repo.api_key())
            context = endpoint.ssl()
            assert isinstance(context, ssl.SSLContext)
            assert len(context.get_ca_certs()) == 1
    by_url = endpoint_of_url(repo, "https://127.0.0.1:4321/")
    assert (by_url.token, by_url.ca_file) == (None, "")


def test_a_program_that_names_the_url_of_this_node_believes_it_and_gets_no_key(repo: Repo) -> None:
    with encrypted(repo):
        endpoint = endpoint_of_url(repo, "https://127.0.0.1:4321/")
    assert endpoint == Endpoint(
        "https://127.0.0.1:4321", ca_file=str(repo.path / "ca.pem"), source="argument"
    )


def test_an_authority_in_a_profile_means_https_and_goes_before_the_configured_one(
    repo: Repo, profiles: ProfileStore
) -> None:
    profiles.save("own", Profile("node:1234", ca_file="/own.pem"))
    endpoint = found(repo, "own", BACALHAU_API_TLS_CAFILE="/other.pem")
    assert (endpoint.url, endpoint.ca_file) == ("https://node:1234", "/own.pem")


def test_the_context_is_the_same_until_a_file_changes(repo: Repo) -> None:
    # Connections are pooled by it.
    file = repo.path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    endpoint = Endpoint("https://a:1", ca_file=str(file))
    first = endpoint.ssl()
    assert endpoint.ssl() is first
    trustme.CA().cert_pem.write_to_path(str(file.with_name("new")))
    file.with_name("new").replace(file)
    assert endpoint.ssl() is not first


def test_a_pinned_certificate_is_the_first_of_its_file_and_nothing_else(repo: Repo) -> None:
    issued = trustme.CA().issue_cert("a")
    file = repo.path / "server.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(file))
    context = Endpoint("https://b:1", certificate_file=str(file)).ssl()
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == 1
    for content in ("", "-----BEGIN CERTIFICATE-----"):
        file.write_text(content)
        with pytest.raises(ConfigurationError, match="can't be used: it holds no certificate"):
            Endpoint("https://b:1", certificate_file=str(file)).ssl()

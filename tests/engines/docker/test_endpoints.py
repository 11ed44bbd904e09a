"""Where a Docker Engine is looked for, and in which order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.endpoints import Tls, endpoints
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.models.errors import ConfigurationError


def make_context(home: Path, name: str, host: str, *, tls: bool = False, skip_verify: bool = False) -> Path:
    """Write a context the way `docker context create` does; return its TLS directory."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker/contexts/meta" / identifier
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    )
    folder = home / ".docker/contexts/tls" / identifier / "docker"
    if tls:
        folder.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (folder / file).touch()
    return folder


def use_context(home: Path, name: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))


def urls(env: dict[str, str], home: Path) -> list[str]:
    return [endpoint.url for endpoint in endpoints(env, Configuration(env, home))]


def test_without_any_choice_the_two_usual_sockets_are_tried_in_order(tmp_path: Path) -> None:
    assert urls({}, tmp_path) == ["unix:///var/run/docker.sock"]
    assert urls({"XDG_RUNTIME_DIR": "/run/user/7"}, tmp_path) == [
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/docker.sock",
    ]


def test_docker_host_wins_over_a_context_and_a_context_over_the_sockets(tmp_path: Path) -> None:
    make_context(tmp_path, "lab", "tcp://10.0.0.1:2376")
    make_context(tmp_path, "other", "unix:///other.sock")
    use_context(tmp_path, "lab")
    runtime = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert urls(runtime, tmp_path) == ["tcp://10.0.0.1:2376"]
    assert urls({**runtime, "DOCKER_CONTEXT": "other"}, tmp_path) == ["unix:///other.sock"]
    host = {"DOCKER_HOST": "unix:///mine.sock", "DOCKER_CONTEXT": "other"}
    assert urls({**runtime, **host}, tmp_path) == ["unix:///mine.sock"]
    assert urls({**runtime, "DOCKER_CONTEXT": "default"}, tmp_path)[0] == "unix:///var/run/docker.sock"


def test_tls_and_the_api_version_come_with_docker_host(tmp_path: Path) -> None:
    env = {"DOCKER_HOST": "tcp://h:2376", "DOCKER_API_VERSION": "1.41"}
    (plain,) = endpoints(env, Configuration({}, tmp_path))
    assert (plain.tls, plain.api_version, plain.origin) == (None, "1.41", "DOCKER_HOST")
    (default,) = endpoints({**env, "DOCKER_TLS_VERIFY": "1"}, Configuration({}, tmp_path))
    folder = tmp_path / ".docker"
    assert default.tls == Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify=True)
    (unverified,) = endpoints({**env, "DOCKER_TLS": "1"}, Configuration({}, tmp_path))
    assert unverified.tls == Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify=False)
    (chosen,) = endpoints({**env, "DOCKER_CERT_PATH": "/certs"}, Configuration({}, tmp_path))
    assert chosen.tls == Tls(
        Path("/certs/ca.pem"), Path("/certs/cert.pem"), Path("/certs/key.pem"), verify=False
    )


@pytest.mark.parametrize("skip_verify", [False, True])
def test_a_context_brings_its_own_certificates(tmp_path: Path, skip_verify: bool) -> None:
    folder = make_context(tmp_path, "lab", "tcp://h:2376", tls=True, skip_verify=skip_verify)
    (endpoint,) = endpoints({"DOCKER_CONTEXT": "lab"}, Configuration({}, tmp_path))
    assert endpoint.tls == Tls(
        folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify=not skip_verify
    )
    assert endpoint.origin == 'Docker context "lab"'
    (folder / "cert.pem").unlink()
    (folder / "ca.pem").touch()
    (only_ca,) = endpoints({"DOCKER_CONTEXT": "lab"}, Configuration({}, tmp_path))
    assert only_ca.tls == endpoint.tls, "an engine may want no certificate of its clients"


def test_docker_config_moves_the_whole_directory(tmp_path: Path) -> None:
    make_context(tmp_path / "elsewhere", "lab", "unix:///lab.sock")
    use_context(tmp_path / "elsewhere", "lab")
    assert urls({"DOCKER_CONFIG": str(tmp_path / "elsewhere/.docker")}, tmp_path) == ["unix:///lab.sock"]


def test_a_context_that_does_not_exist_or_is_broken_is_named(tmp_path: Path) -> None:
    use_context(tmp_path, "gone")
    with pytest.raises(ConfigurationError, match='context "gone" does not exist'):
        endpoints({}, Configuration({}, tmp_path))
    make_context(tmp_path, "broken", "x")
    (meta,) = (tmp_path / ".docker/contexts/meta").glob("*/meta.json")
    meta.write_text("{")
    with pytest.raises(ConfigurationError, match='context "broken" can\'t be read'):
        endpoints({"DOCKER_CONTEXT": "broken"}, Configuration({}, tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"currentContext": null}'])
def test_a_configuration_without_a_context_means_the_sockets(tmp_path: Path, content: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(content)
    assert urls({}, tmp_path) == ["unix:///var/run/docker.sock"]


def test_only_a_unix_url_has_a_socket(tmp_path: Path) -> None:
    (local,) = endpoints({"DOCKER_HOST": "unix:///a/b.sock"}, Configuration({}, tmp_path))
    (remote,) = endpoints({"DOCKER_HOST": "ssh://me@host"}, Configuration({}, tmp_path))
    assert (local.socket, remote.socket) == (Path("/a/b.sock"), None)


def test_a_configuration_that_names_no_context_in_words_means_the_usual_sockets(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    for broken in ('{"currentContext": [1]}', "[", "[]", "[" * 100_000, '\ufeff{"currentContext": ""}'):
        (tmp_path / ".docker/config.json").write_text(broken, encoding="utf-8")
        assert urls({}, tmp_path) == ["unix:///var/run/docker.sock"]

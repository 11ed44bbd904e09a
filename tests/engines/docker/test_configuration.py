"""Docker's configuration, broken in every way that people leave it: public pulls work, and a warning says why."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.engines.registries.credentials import Credentials
from bacalhau_jupyter.models.errors import EngineError
from tests.engines.docker.conftest import Node, derived_image, execution_of
from tests.services import docker_engine as services
from tests.services.fixtures import service_or_skip
from tests.services.registry import PASSWORD, USER, Pushed, Registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_leaks")]

GOOD = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
# What is in the file, and what the warning says of it (empty: nothing).
BROKEN: dict[str, tuple[Any, str]] = {
    "a helper that is not installed": (
        {"credsStore": "desktop"},
        "docker-credential-desktop is not installed",
    ),
    "a helper for this registry that is not installed": (
        {"credHelpers": {"REGISTRY": "ecr-login"}},
        "docker-credential-ecr-login is not installed",
    ),
    "a helper whose name is a number": ({"credsStore": 7}, '"credsStore" is not text'),
    "helpers that are a list": ({"credHelpers": ["x"]}, '"credHelpers" is not an object'),
    "a helper for this registry that is a list": ({"credHelpers": {"REGISTRY": [1]}}, "is not installed"),
    "auth that is not base64": ({"auths": {"REGISTRY": {"auth": "%%%"}}}, "is malformed"),
    "auth without a colon": ({"auths": {"REGISTRY": {"auth": "YWJj"}}}, "is malformed"),
    "auth that is not ASCII": ({"auths": {"REGISTRY": {"auth": "é"}}}, "is malformed"),
    "auth that is not UTF-8": ({"auths": {"REGISTRY": {"auth": "/zpx"}}}, "is malformed"),
    "auth that is a number": ({"auths": {"REGISTRY": {"auth": 7}}}, "is malformed"),
    "an entry that is a text": ({"auths": {"REGISTRY": "x"}}, "is not an object"),
    "an entry that is null": ({"auths": {"REGISTRY": None}}, "is not an object"),
    "a malformed entry for another registry": ({"auths": {"elsewhere:1": {"auth": "%%%"}}}, ""),
    "an empty entry": ({"auths": {"REGISTRY": {}}}, ""),
    "entries that are a list": ({"auths": [1]}, '"auths" is not an object'),
    "proxies that are a text": ({"proxies": "x"}, ""),
    "a default proxy that is a list": ({"proxies": {"default": []}}, ""),
    "headers that are a list": ({"HttpHeaders": [1]}, '"HttpHeaders" is not an object'),
    "a header that is a number": ({"HttpHeaders": {"X-A": 1, "X-B": "b"}}, "that are not headers"),
    "a header that ends the request": (
        {"HttpHeaders": {"X-A": "a\r\n\r\nGET / HTTP/1.1"}},
        "that are not headers",
    ),
    "a list": ([], "is not a JSON object"),
    "null": (None, "is not a JSON object"),
    "no JSON": (b"{'credsStore': 1,}", "is not valid JSON"),
    "nothing": (b"", "is not valid JSON"),
    "no text": (b"\xff\xfe\x00{", "is not valid JSON"),
    "nested without end": (b"[" * 100_000, "is not valid JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"auths": {}}', ""),
    "another program's table": ({"a": {"b": "c"}, "auths": {}}, ""),
}


@pytest.fixture
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that this whole process takes for Docker's own, the SDK included."""
    directory = tmp_path / "docker-config"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory


def write(directory: Path, content: Any, registry: str = "") -> None:
    data = (
        content if isinstance(content, bytes) else json.dumps(content).replace("REGISTRY", registry).encode()
    )
    (directory / "config.json").write_bytes(data)


@pytest.fixture(scope="module")
def private_registry(docker_engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    directory = tmp_path_factory.mktemp("private-registry")
    running = service_or_skip(lambda: Registry(directory, docker_engine, private=True))
    yield running
    running.close()


def pushed_to(docker_engine: str, busybox_image: str, registry: Registry, command: str) -> Pushed:
    name = f"bacalhau-jupyter-test/{command}"
    with contextlib.closing(services.client(docker_engine)) as client:
        image = derived_image(client.api, busybox_image, name, [f'CMD ["echo", "{command}"]'])
        pushed = registry.push(image, f"tests/{command}:1")
        client.api.remove_image(image, force=True)
    return pushed


@pytest.fixture(scope="module")
def public_image(docker_engine: str, busybox_image: str, registry: Registry) -> Pushed:
    return pushed_to(docker_engine, busybox_image, registry, "public")


@pytest.fixture(scope="module")
def private_image(docker_engine: str, busybox_image: str, private_registry: Registry) -> Pushed:
    return pushed_to(docker_engine, busybox_image, private_registry, "private")


@pytest.fixture
def public(api: Any, public_image: Pushed) -> Iterator[Pushed]:
    """An image that everybody may pull and that is not here."""
    yield public_image
    with contextlib.suppress(DockerException):
        api.remove_image(public_image.tagged, force=True)


@pytest.fixture
def private(api: Any, private_image: Pushed) -> Iterator[Pushed]:
    """An image that only one person may pull and that is not here."""
    yield private_image
    with contextlib.suppress(DockerException):
        api.remove_image(private_image.tagged, force=True)


@pytest.fixture
async def person(node: Node, config_dir: Path, docker_engine: str) -> AsyncIterator[Node]:
    """A node of a person with a Docker configuration and helpers of his own."""
    (config_dir / "bin").mkdir()
    env = {
        "DOCKER_HOST": docker_engine,
        "DOCKER_CONFIG": str(config_dir),
        "PATH": f"{config_dir / 'bin'}:/usr/bin:/bin",
    }
    engine = DockerEngine(node.options, env=env)
    yield Node(engine, node.directory, node.url, node.options)
    await engine.close()


def helper(config_dir: Path, name: str, script: str) -> None:
    path = config_dir / "bin" / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_public_image_is_pulled_whatever_the_configuration_is(
    name: str, person: Node, config_dir: Path, public: Pushed, caplog: pytest.LogCaptureFixture
) -> None:
    content, warning = BROKEN[name]
    write(config_dir, content, public.tagged.partition("/")[0])
    caplog.set_level(logging.WARNING)
    availability = await person.engine.probe()
    assert availability.available, availability.problem
    assert (await person.engine.bid(execution_of({"Image": public.tagged}))).accepted
    assert (await person.run({"Image": public.tagged})).stdout == "public\n"
    messages = [record.getMessage() for record in caplog.records]
    assert warning in " ".join(messages)
    assert bool(messages) == bool(warning)
    assert len(set(messages)) == len(messages), "a warning came twice"


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "echo no JSON",
        "echo '[]'",
        "echo '{}'",
        """echo '{"Username": null, "Secret": 7}'""",
        "kill -9 $$",
        "head -c 100000 /dev/zero | tr '\\0' '['",
    ],
)
async def test_a_helper_that_fails_makes_the_pull_anonymous_with_a_warning(
    script: str, person: Node, config_dir: Path, public: Pushed, caplog: pytest.LogCaptureFixture
) -> None:
    helper(config_dir, "odd", script)
    write(config_dir, {"credsStore": "odd"})
    assert (await person.engine.probe()).available
    assert (await person.run({"Image": public.tagged})).stdout == "public\n"
    assert "docker-credential-odd" in caplog.text


async def test_the_sdk_itself_would_refuse_what_we_read(config_dir: Path, docker_engine: str) -> None:
    """The control: made in the SDK's own way, a client fails for one malformed entry."""
    import docker

    write(config_dir, {"auths": {"elsewhere:1": {"auth": "%%%"}}})
    with pytest.raises(ValueError, match=r"not enough values|base64|padding"):
        docker.APIClient(base_url=docker_engine)


LOGINS: dict[str, Any] = {
    "auth": {"auths": {"REGISTRY": {"auth": GOOD}}},
    "a URL as the key": {"auths": {"http://REGISTRY/v1/": {"auth": GOOD}}},
    "user and password": {"auths": {"REGISTRY": {"username": USER, "password": PASSWORD}}},
    "beside a malformed entry": {"auths": {"x": {"auth": "%"}, "REGISTRY": {"auth": GOOD}}},
    "beside a helper that is missing": {"credsStore": "desktop", "auths": {"REGISTRY": {"auth": GOOD}}},
    "a helper": {"credsStore": "right"},
    "a helper for this registry": {"credsStore": "desktop", "credHelpers": {"REGISTRY": "right"}},
}


@pytest.mark.parametrize("name", LOGINS)
async def test_a_private_image_is_pulled_with_the_persons_login(
    name: str, person: Node, config_dir: Path, private: Pushed
) -> None:
    registry = private.tagged.partition("/")[0]
    answer = json.dumps({"ServerURL": registry, "Username": USER, "Secret": PASSWORD})
    helper(config_dir, "right", f"read server; [ \"$server\" = {registry} ] && echo '{answer}'")
    write(config_dir, LOGINS[name], registry)
    assert (await person.engine.probe()).available
    assert (await person.engine.bid(execution_of({"Image": private.tagged}))).accepted
    assert (await person.run({"Image": private.tagged})).stdout == "private\n"


async def test_a_private_image_without_a_login_is_refused_and_no_secret_is_shown(
    person: Node, config_dir: Path, private: Pushed, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = base64.b64encode(b"ali:a wrong secret").decode()
    write(config_dir, {"auths": {"REGISTRY": {"auth": wrong}}}, private.tagged.partition("/")[0])
    assert (await person.engine.probe()).available
    with pytest.raises(EngineError, match="image not available") as refused:
        await person.engine.bid(execution_of({"Image": private.tagged}))
    assert f"`docker login {private.tagged.partition('/')[0]}`" in refused.value.hint
    assert "wrong secret" not in caplog.text + str(refused.value) + refused.value.hint
    assert wrong not in caplog.text + str(refused.value) + refused.value.hint


def login(config_dir: Path, registry: str, **env: str) -> dict[str, str]:
    env = {"DOCKER_CONFIG": str(config_dir), "PATH": f"{config_dir / 'bin'}:/usr/bin:/bin", **env}
    return Credentials(Configuration(env), env).login(registry)


def test_tokens_are_passed_on_as_such(config_dir: Path) -> None:
    write(config_dir, {"auths": {"a:1": {"identitytoken": "it"}, "b:1": {"registrytoken": "rt"}}})
    assert login(config_dir, "a:1") == {"identitytoken": "it", "serveraddress": "a:1"}
    assert login(config_dir, "b:1") == {"registrytoken": "rt", "serveraddress": "b:1"}


def test_a_helpers_token_is_passed_on_as_such(config_dir: Path) -> None:
    (config_dir / "bin").mkdir()
    helper(config_dir, "t", """echo '{"Username": "<token>", "Secret": "it"}'""")
    write(config_dir, {"credsStore": "t"})
    assert login(config_dir, "a:1") == {"identitytoken": "it", "serveraddress": "a:1"}


def test_docker_hub_is_known_by_all_its_names(config_dir: Path) -> None:
    for key in ("https://index.docker.io/v1/", "docker.io", "index.docker.io"):
        write(config_dir, {"auths": {key: {"auth": GOOD}}})
        assert login(config_dir, "docker.io")["username"] == USER
    assert login(config_dir, "quay.io") == {}
    named = {"DOCKER_USERNAME": "u", "DOCKER_PASSWORD": "p"}
    assert login(config_dir, "docker.io", **named) == {"username": "u", "password": "p"}
    assert login(config_dir, "quay.io", **named) == {}


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"DOCKER_HOST": "tcp://[::1"}, "no Docker Engine answers"),
        ({"DOCKER_HOST": "http://x:y"}, "no Docker Engine answers"),
        ({"DOCKER_API_VERSION": "x"}, "DOCKER_API_VERSION is not a version: 'x'"),
        ({"DOCKER_API_VERSION": "1.41.2"}, "DOCKER_API_VERSION is not a version"),
        ({"DOCKER_API_VERSION": "1.999"}, "version 1.999 is too new"),
        ({"DOCKER_API_VERSION": "1.0"}, "(DOCKER_API_VERSION=1.0)"),
    ],
)
async def test_an_invalid_address_or_version_is_a_reason_and_not_a_crash(
    env: dict[str, str], problem: str, node: Node, docker_engine: str
) -> None:
    engine = DockerEngine(node.options, env={"DOCKER_HOST": docker_engine, **env})
    availability = await engine.probe()
    assert not availability.available
    assert problem in availability.problem
    await engine.close()


@pytest.mark.parametrize("version", ["1.40", "v1.40", " 1.40 "])
async def test_a_person_may_choose_the_version_of_the_api(
    version: str, node: Node, docker_engine: str, busybox_image: str
) -> None:
    engine = DockerEngine(node.options, env={"DOCKER_HOST": docker_engine, "DOCKER_API_VERSION": version})
    assert (await engine.probe()).available
    older = Node(engine, node.directory, node.url, node.options)
    assert (await older.run({"Image": busybox_image, "Parameters": ["echo", "hi"]})).stdout == "hi\n"
    assert engine.connection._daemon is not None
    assert engine.connection._daemon.api.api_version == "1.40"
    await engine.close()

"""Each variable and file of the documents that works is set here, and what it changes is looked at."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from bacalhau_jupyter.cli.devstack import PORT_FILE, devstack
from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeRecord
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.identity import client_id
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.words.table import WORDS
from bacalhau_jupyter.config.words.word import Kind, Standing, Word
from bacalhau_jupyter.engines.docker.endpoints import Endpoint as DockerEndpoint
from bacalhau_jupyter.engines.docker.endpoints import endpoints
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.engines.registries.credentials import HUB, Credentials
from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.lib.telemetry.choice import chosen
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transfer.ipfs.swarm import IpfsSwarm, swarm_endpoint
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location

RECORD = NodeRecord(
    host="h",
    boot_id="b",
    pid=1,
    start_time=0,
    port=4321,
    api_host="127.0.0.1",
    instance_id="i",
    version="v1",
)
ROOT = Path(__file__).parents[2]
PEER = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWAbcdef"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
CLEARED = ("AWS_", "BACALHAU_", "DOCKER_", "OTEL_", "IPFS_", "LIBP2P_", "LOG_", "DEVSTACK_", "IGNORE_")


def endpoint(directory: Path) -> Endpoint:
    resolved = resolve_endpoint(Repo.locate(str(directory)))
    assert resolved is not None
    return resolved


def docker(directory: Path) -> DockerEndpoint:
    return endpoints(os.environ, Configuration(os.environ, directory))[0]


def docker_login(directory: Path) -> Mapping[str, str]:
    return Credentials(Configuration(os.environ, directory), os.environ).login(HUB)


def aws(directory: Path) -> tuple[str, ...] | None:
    keys = S3Clients("test").credentials()
    return None if keys is None else (keys.access_key, keys.secret_key, keys.token or "")


def region(directory: Path) -> str:
    return S3Clients("test").region(S3Location(bucket="b"))


def stack(directory: Path, *words: str) -> Mapping[str, Any]:
    """Start no nodes, but do all that the command does around them."""
    ended: dict[str, Any] = {}

    def run(
        config: Config,
        base: Path,
        shape: object,
        *,
        keep: bool,
        on_ready: Callable[[Any], None],
        far: object,
    ) -> int:
        on_ready(SimpleNamespace(record=RECORD))
        ended["port"] = config["API.Port"]
        ended["files"] = {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bacalhau_jupyter.node.run.run_devstack", run)
        patch.setattr(tempfile, "tempdir", str(directory))
        devstack.main(list(words), standalone_mode=False, parent=click.Context(bacalhau))
    return ended


def ipfs_environment(directory: Path) -> dict[str, str]:
    """Return what the program `ipfs` gets from a download, of the variables that are meant for it."""
    program = directory / "ipfs"
    program.write_text(
        f"#!/bin/sh\nmkdir -p $IPFS_PATH\nenv > {directory}/environment\n"
        f"cp $IPFS_PATH/swarm.key {directory}/copied.key 2> /dev/null || true\n"
    )
    program.chmod(0o755)
    key = directory / "swarm.key"
    key.write_text("/key/swarm/psk/1.0.0/\n/base16/\n" + "0" * 64 + "\n")

    async def start() -> None:
        async with swarm_endpoint("", IpfsSwarm.of([PEER], str(key))):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        # A program that only writes down its environment is no node.
        with pytest.raises(BacalhauError):
            asyncio.run(start())
    lines = (directory / "environment").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: text for name, text in pairs.items() if name.startswith(("IPFS_", "LIBP2P_"))}


@dataclass(frozen=True)
class Effect:
    """What a variable changes.

    Attributes
    ----------
    value
        What it is set to; ``{}`` stands for the directory of the test.
    look
        Looks at what it changes.
    expected
        What is seen then; None: something else than before.
    beside
        Variables that are set in both cases.
    """

    value: str
    look: Callable[[Path], Any]
    expected: Any = None
    beside: Mapping[str, str] = field(default_factory=dict)


def api(value: str, look: Callable[[Endpoint], str | None], expected: str, **beside: str) -> Effect:
    return Effect(
        value, lambda directory: look(endpoint(directory)), expected, {"BACALHAU_API_HOST": "h", **beside}
    )


EFFECTS: dict[str, Effect] = {
    "AWS_ACCESS_KEY_ID": Effect(
        "AKIA2", lambda d: (aws(d) or ("",))[0], "AKIA2", {"AWS_SECRET_ACCESS_KEY": "s"}
    ),
    "AWS_SECRET_ACCESS_KEY": Effect(
        "s2", lambda d: (aws(d) or ("", ""))[1], "s2", {"AWS_ACCESS_KEY_ID": "A"}
    ),
    "AWS_SESSION_TOKEN": Effect("t2", lambda d: (aws(d) or ("", "", ""))[2], "t2", KEYS),
    "AWS_PROFILE": Effect("other", lambda d: aws(d), ("AKIAOTHER", "o", "")),
    "AWS_REGION": Effect("eu-north-1", region, "eu-north-1"),
    "BACALHAU_API_HOST": Effect("h2", lambda d: Config.from_sources()["API.Host"], "h2"),
    "BACALHAU_API_PORT": api("4321", lambda e: e.url, "http://h:4321"),
    "BACALHAU_API_KEY": api("k", lambda e: e.token, "k"),
    "BACALHAU_API_USERNAME": api("u", lambda e: e.basic, "dTpw", BACALHAU_API_PASSWORD="p"),
    "BACALHAU_API_PASSWORD": api("p", lambda e: e.basic, "dTpw", BACALHAU_API_USERNAME="u"),
    "BACALHAU_DIR": Effect("{}/repo", lambda d: str(Config.from_sources().data_dir), "{}/repo"),
    "BACALHAU_HTTPS": api("1", lambda e: e.url, "https://h:1234"),
    "BACALHAU_PROFILE": api("lab", lambda e: e.url, "http://lab:5"),
    "DEVSTACK_ENV_FILE": Effect(
        "{}/env",
        lambda d: stack(d)["files"].get("env"),
        "export BACALHAU_API_HOST=127.0.0.1\nexport BACALHAU_API_PORT=4321\n",
    ),
    "DOCKER_API_VERSION": Effect("1.41", lambda d: docker(d).api_version, "1.41"),
    "DOCKER_CERT_PATH": Effect(
        "{}/certs",
        lambda d: str(getattr(docker(d).tls, "key", "")),
        "{}/certs/key.pem",
        {"DOCKER_HOST": "tcp://h:1"},
    ),
    "DOCKER_HOST": Effect("tcp://h:1", lambda d: docker(d).url, "tcp://h:1"),
    "DOCKER_TLS_VERIFY": Effect(
        "1", lambda d: getattr(docker(d).tls, "verify", None), True, {"DOCKER_HOST": "tcp://h:1"}
    ),
    "DOCKER_USERNAME": Effect("u", lambda d: docker_login(d).get("username"), "u", {"DOCKER_PASSWORD": "p"}),
    "DOCKER_PASSWORD": Effect("p", lambda d: docker_login(d).get("password"), "p", {"DOCKER_USERNAME": "u"}),
    "HOME": Effect("{}/home", lambda d: str(Config.from_sources().data_dir), "{}/home/.bacalhau"),
    "IGNORE_PID_AND_PORT_FILES": Effect("1", lambda d: PORT_FILE in stack(d)["files"], False),
    "LOG_LEVEL": Effect("debug", lambda d: Config.from_sources()["Logging.Level"], "debug"),
    "LOG_TYPE": Effect("json", lambda d: Config.from_sources()["Logging.Mode"], "json"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Effect("http://h:4318", lambda d: chosen(os.environ).any, True),
    "OTEL_EXPORTER_OTLP_PROTOCOL": Effect(
        "grpc", lambda d: chosen(os.environ).traces, "grpc", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317"}
    ),
}

ELSEWHERE = {"SKIP_IMAGE_PULL": "tests/engines/docker/test_images.py"}
"""Variables whose effect needs a service, and where it is looked at."""

OTHERS = {"IPFS_PATH", "LIBP2P_FORCE_PNET", "PREDICTABLE_API_PORT"}
"""Variables with a test of their own."""


def working(kind: Kind) -> set[str]:
    words: tuple[Word, ...] = WORDS
    return {word.name for word in words if word.kind is kind and word.standing is Standing.WORKS}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without any of the variables, and a home with the files that some of them choose from."""
    for name in list(os.environ):
        if name.startswith(CLEARED):
            monkeypatch.delenv(name)
    home = tmp_path / "user"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = f\n"
        "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = o\n"
    )
    monkeypatch.setenv("HOME", str(home))
    # No question to a cloud that is not there.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    ProfileStore(Repo.locate(str(tmp_path)).profiles_dir).save("lab", Profile(endpoint="http://lab:5"))
    return tmp_path


def test_every_variable_that_works_is_looked_at() -> None:
    assert working(Kind.VARIABLE) == {*EFFECTS, *ELSEWHERE, *OTHERS}
    for name, path in ELSEWHERE.items():
        assert f'"{name}"' in (ROOT / path).read_text()


@pytest.mark.parametrize("name", EFFECTS)
def test_a_variable_has_its_effect(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = EFFECTS[name]
    for other, text in effect.beside.items():
        monkeypatch.setenv(other, text)
    before: object
    try:
        before = effect.look(directory)
    except BacalhauError as error:
        # Half of a credential.
        before = error.message
    monkeypatch.setenv(name, effect.value.format(directory))
    after = effect.look(directory)
    expected = effect.expected.format(directory) if isinstance(effect.expected, str) else effect.expected
    assert after == expected
    assert before != expected


def test_the_ports_of_a_devstack_are_predictable_whether_asked_for_or_not(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack(directory)["port"] == 1234
    monkeypatch.setenv("PREDICTABLE_API_PORT", "1")
    assert stack(directory)["port"] == 1234
    assert stack(directory, "--random-ports")["port"] == 0


def test_the_variables_and_the_key_of_the_ipfs_program_come_from_a_download(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPFS_PATH", "/somewhere/of/the/person")
    passed = ipfs_environment(directory)
    assert passed["IPFS_PATH"].endswith("/repo")
    assert "/somewhere" not in passed["IPFS_PATH"]
    assert passed["LIBP2P_FORCE_PNET"] == "1"
    assert (directory / "copied.key").read_bytes() == (directory / "swarm.key").read_bytes()


# ---- files


def test_every_file_that_works_is_looked_at() -> None:
    assert working(Kind.FILE) == {
        "config.yaml",
        "system_metadata.yaml",
        "profiles",
        "user_id.pem",
        "swarm.key",
        "~/.aws/credentials",
    }


def test_the_files_of_a_data_directory_and_a_home_are_read(directory: Path) -> None:
    (directory / "config.yaml").write_text("API: {Port: 4711}\n")
    assert Config.from_sources(flags={"DataDir": str(directory)})["API.Port"] == 4711
    (directory / "system_metadata.yaml").write_text("NodeName: n-mine\n")
    assert Repo.locate(str(directory)).node_name() == "n-mine"
    ProfileStore(Repo.locate(str(directory)).profiles_dir).select("lab")
    assert endpoint(directory).url == "http://lab:5"
    numbers = bytes.fromhex("3009020100020400c0ffee")  # a sequence of a version and a modulus
    body = base64.b64encode(numbers).decode()
    (directory / "user_id.pem").write_text(
        f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"
    )
    assert client_id(directory) == hashlib.sha256(bytes.fromhex("c0ffee")).hexdigest()
    assert (aws(directory) or ("",))[0] == "AKIAFILE"

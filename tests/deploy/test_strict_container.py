"""A node where Binder puts one: the image of this checkout in a container without any privilege.

Docker's default system call filter, an ordinary user, no capabilities, no new privileges, no Docker Engine. The
engine's own tests run in such a container, too (`engines/process/test_places.py`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.conftest import docker_command
from tests.deploy.test_container import JOBS, ContainerNode
from tests.services import wasm_modules
from tests.services.common import wait_until

STRICT = ("--security-opt", "no-new-privileges", "--cap-drop", "ALL")
CELLS = """
get_ipython().run_line_magic("load_ext", "bacalhau_jupyter")
get_ipython().run_cell_magic("bacalhau", "python", "import os\\nprint('cell', 6 * 7, os.getuid())")
"""
THIEF = """
import os, socket
for path in ("/data/api.key", "/data", "/home/bacalhau", "/proc/1/environ"):
    try:
        os.listdir(path) if path in ("/data", "/home/bacalhau") else open(path).read()
        print("read", path)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", 1234))
    print("connected")
except OSError:
    pass
open("outputs/written", "w").write("x")
print("tried")
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def strict(node_image: str) -> Iterator[ContainerNode]:
    """A node without any privilege."""
    running = ContainerNode(node_image, *STRICT)
    yield running
    running.close()


@pytest.fixture
def info(strict: ContainerNode) -> dict[str, Any]:
    """What the node says of its engines."""
    described: dict[str, Any] = strict.call("GET", "/api/v1/agent/node")["ComputeNodeInfo"]
    return described


def test_the_container_is_strict(strict: ContainerNode) -> None:
    status = docker_command("exec", strict.name, "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == 0
    assert facts["Uid"].split()[0] == "1000"


def test_processes_run_in_the_tier_that_needs_no_rights(info: dict[str, Any]) -> None:
    runtime = info["EngineRuntimes"]["process"]
    assert runtime == "restricted process (Landlock+seccomp), memory limited per process, CPU not limited"


def test_a_cell_runs(strict: ContainerNode) -> None:
    said = docker_command("exec", strict.name, "python3", "-m", "IPython", "--no-banner", "-c", CELLS)
    assert "cell 42 1000" in said


def test_a_job_is_confined(strict: ContainerNode) -> None:
    task = {
        "Name": "main",
        "Engine": {"Type": "process", "Params": {"Command": ["python3", "-c", THIEF]}},
        "ResultPaths": [{"Name": "outputs", "Path": "/outputs"}],
        "Publisher": {"Type": "local"},
    }
    spec = {"Name": "thief", "Type": "batch", "Count": 1, "Tasks": [task]}
    job_id = strict.call("PUT", JOBS, {"Job": spec})["JobID"]
    assert (
        docker_command("exec", strict.name, "bacalhau-jupyter", "job", "logs", "--follow", job_id) == "tried"
    )


def test_a_module_runs(strict: ContainerNode, info: dict[str, Any]) -> None:
    assert info["EngineRuntimes"]["wasm"].startswith("wasmtime ")
    module = base64.b64encode(wasm_modules.printing("from a module")).decode()
    source = {"Type": "inline", "Params": {"URL": f"data:application/wasm;base64,{module}"}}
    task = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/main.wasm"}},
        "InputSources": [{"Target": "/main.wasm", "Source": source}],
    }
    spec = {"Name": "module", "Type": "batch", "Count": 1, "Tasks": [task]}
    job_id = strict.call("PUT", JOBS, {"Job": spec})["JobID"]
    said = docker_command("exec", strict.name, "bacalhau-jupyter", "job", "logs", "--follow", job_id)
    assert said == "from a module"


def test_images_are_refused_with_what_is_missing(strict: ContainerNode, info: dict[str, Any]) -> None:
    assert "docker" not in info["ExecutionEngines"]
    task = {"Name": "main", "Engine": {"Type": "docker", "Params": {"Image": "busybox"}}}
    spec = {"Name": "image", "Type": "batch", "Count": 1, "Tasks": [task]}
    job_id = strict.call("PUT", JOBS, {"Job": spec})["JobID"]

    def said() -> str:
        described = docker_command("exec", strict.name, "bacalhau-jupyter", "job", "describe", job_id)
        return " ".join(described.split())

    # The job is taken before a place for it has been looked for.
    assert wait_until(lambda: info["EngineProblems"]["docker"][:40] in said(), timeout_s=60), said()

"""What works on macOS, as far as an interpreter that pretends to be there shows it (`as_macos.py`). Not run on one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.node.environments import register_own
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.services.node import ROOT

SITE = "from tests.node.as_macos import pretend\npretend()\n"
IMPORT_ALL = """
import importlib, json, pkgutil
import IPython, botocore.session, docker, jupyter_server.serverapp
from tests.node.as_macos import pretend
pretend()
import bacalhau_jupyter
names = [each.name for each in pkgutil.walk_packages(bacalhau_jupyter.__path__, "bacalhau_jupyter.")]
# Programs, which run by themselves: the shell's, and those of jobs.
names = [name for name in names if not name.endswith(("__main__", "notebook_runner")) and ".runner" not in name]
problems = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        problems[name] = repr(error)
print(json.dumps([len(names), problems]))
"""
USE_A_NODE = """
import json, sys
from pathlib import Path
from tests.node.as_macos import pretend
pretend()
from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.failure import JobFailed
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import ResultPath, SpecConfig, Task
from tests.services.node import ROOT, start_node

place, engine, image = sys.argv[1:]
env = {"PYTHONPATH": f"{place}:{ROOT}", "DOCKER_HOST": engine}
node = start_node(Path(place, "repo"), env=env, timeout_s=120)
try:
    client = Client(node.url, api_key=node.key)
    info = client.info.compute_node_info
    script = "echo hello; echo result > /outputs/file"
    task = Task(
        name="main",
        engine=SpecConfig(type="docker", params={"Image": image, "Entrypoint": ["sh", "-c", script]}),
        publisher=SpecConfig(type="local"),
        result_paths=[ResultPath(name="outputs", path="/outputs")],
    )
    result = client.submit(Job(name="t", type="batch", count=1, tasks=[task])).result()
    refused = Task(name="main", engine=SpecConfig(type="process", params={"Command": ["true"]}))
    try:
        failure = str(client.submit(Job(name="p", type="batch", count=1, tasks=[refused])).result())
    except JobFailed as error:
        failure = str(error)
    client.close()
    said = [info.engine_problems.get("process"), result.stdout, sorted(result.files), failure]
finally:
    node.stop()
print(json.dumps([said, node.tail(100)]))
"""
HIDE_PROC = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]


def python(code: str, *arguments: str, prefix: list[str] | None = None) -> list[object]:
    """Run a program and return the JSON that it prints last."""
    command = [*(prefix or []), sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, list)
    return answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_module_can_be_imported() -> None:
    count, problems = python(IMPORT_ALL)
    assert isinstance(count, int)
    assert count > 500
    assert problems == {}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_runs_docker_jobs_and_says_what_is_off(
    tmp_path: Path, docker_engine: str, busybox_image: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    arguments = (str(tmp_path), docker_engine, busybox_image)
    said, log = python(USE_A_NODE, *arguments, prefix=HIDE_PROC)
    assert isinstance(said, list)
    problem, stdout, files, failure = said
    assert problem == "process jobs need Linux, and this node runs on macOS: use an image (--image)"
    assert (stdout, "outputs/file" in files) == ("hello\n", True)
    assert problem in failure
    assert isinstance(log, str)
    assert "engine process is off: process jobs need Linux" in log
    assert "Traceback" not in log
    assert "/proc" not in log


@pytest.mark.parametrize(("platform", "system"), [("darwin", "macOS"), ("win32", "Windows"), ("aix", "aix")])
def test_the_process_engine_says_where_it_is_off(tmp_path: Path, platform: str, system: str) -> None:
    engine = ProcessEngine(PluginOptions("n-1", tmp_path), platform=platform)
    availability = asyncio.run(engine.probe())
    assert not availability.available
    assert f"runs on {system}:" in availability.problem
    assert list(tmp_path.iterdir()) == [], "nothing is made for an engine that is off"


async def test_no_python_is_registered_where_no_engine_shows_it() -> None:
    class Nothing:
        async def register(self, description: object) -> None:
            raise AssertionError("asked")

        async def registered(self) -> list[object]:
            return []

    await register_own(Nothing(), platform="darwin")  # type: ignore[arg-type]

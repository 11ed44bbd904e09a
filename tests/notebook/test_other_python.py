"""Cells of a Python that is not the node's: its packages are there in the job, and the node learns of it once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import is_root, open_way
from tests.services.node import ROOT, ServedNode, end_node_of, start_node

pytestmark = pytest.mark.timeout(240)

CELL = "%%bacalhau python\nimport {}; print('from', {}.PLACE)"
SESSION = """
import json, os, signal, sys, time
from IPython.core.interactiveshell import InteractiveShell
from bacalhau_jupyter.client.connection.calls.environments import EnvironmentCalls

registered = []
original = EnvironmentCalls.register
async def counting(self, description):
    registered.append(description)
    return await original(self, description)
EnvironmentCalls.register = counting

shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    result = shell.run_cell(cell, store_history=True)
    if result.error_in_exec is not None:
        print('raised', type(result.error_in_exec).__name__, result.error_in_exec)
print('REGISTERED', len(registered))
"""


@dataclass
class Other:
    """A virtual environment with packages of its own, and a person who works in it."""

    prefix: Path
    place: Path
    served: ServedNode

    @property
    def python(self) -> str:
        return str(self.prefix / "bin" / "python")

    def run(self, *cells: str, **env: str) -> str:
        """Run cells in a plain IPython of it."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("BACALHAU_", "JPY_", "PYTHON"))
        }
        done = subprocess.run(
            [self.python, "-c", SESSION, json.dumps(["%load_ext bacalhau_jupyter", *cells])],
            env={
                **kept,
                "BACALHAU_DIR": str(self.served.repo.path),
                "IPYTHONDIR": str(self.place / "ipython"),
                "PYTHONUSERBASE": str(self.place / "userbase"),
                **env,
            },
            cwd=self.place,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback (most recent call last)" not in done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    """An environment whose packages come from everywhere: its prefix, the user's site, editable installs."""
    place = tmp_path_factory.mktemp("other")
    prefix = place / "venv"
    venv.create(prefix, with_pip=False, symlinks=True, system_site_packages=True)
    site = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    user = place / "userbase" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    edited = place / "projects" / "edited" / "src"
    for directory, name in ((site, "inprefix"), (user, "inuser"), (edited, "inproject")):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.py").write_text(f"PLACE = {name!r}\n")
    # Our own packages come the same way.
    (site / "edited.pth").write_text(f"{edited}\n{ROOT}\n{sysconfig.get_path('purelib')}\n")
    if is_root():
        open_way(place)
    served = start_node(place / "repo", env={"PYTHONUSERBASE": str(place / "nobody")})
    try:
        with Client(served.url, api_key=served.key) as client:
            runtime = client.info.compute_node_info.engine_runtimes.get("process", "")
        if not runtime or (is_root() and "bubblewrap" not in runtime):
            pytest.skip(f"no process engine here that shows a job of another user our packages: {runtime!r}")
        yield Other(prefix, place, served)
    finally:
        served.stop()
        # One test kills that node; a cell has then started another one.
        end_node_of(served.repo)


def test_what_the_kernel_imports_the_job_imports_and_the_kernel_registers_once(other: Other) -> None:
    names = ("inprefix", "inuser", "inproject")
    printed = other.run(*(CELL.format(name, name) for name in names))
    assert [line for line in printed.splitlines() if line.startswith("from ")] == [
        f"from {name}" for name in names
    ]
    assert "REGISTERED 1" in printed


def test_the_spec_carries_nothing_but_the_name(other: Other) -> None:
    prepare = (
        "import json\nfrom bacalhau_jupyter import Client\n"
        "def _params(job):\n    return Client().call(lambda api: api.get_job(job)).job.task.engine.params['Python']"
    )
    printed = other.run(prepare, "%%bacalhau python\nprint(1)", "print(json.dumps(_params(_.job.id)))")
    (named,) = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert list(named) == ["Environment"]
    assert len(named["Environment"]) == 64


def test_a_node_that_was_restarted_still_knows_the_environment(other: Other) -> None:
    restart = (
        "import os, signal, time\nfrom bacalhau_jupyter.config.election import read_record\n"
        "from bacalhau_jupyter.config.repo import Repo\n"
        "record = read_record(Repo.open()); os.kill(record.pid, signal.SIGKILL); time.sleep(0.2)"
    )
    printed = other.run(CELL.format("inprefix", "inprefix"), restart, CELL.format("inproject", "inproject"))
    assert [line for line in printed.splitlines() if line.startswith("from ")] == [
        "from inprefix",
        "from inproject",
    ]


def test_a_process_job_of_a_script_takes_the_environment_by_hand(other: Other) -> None:
    script = (
        "import sys\nfrom bacalhau_jupyter import Client\nfrom bacalhau_jupyter.client.jobs.build import process\n"
        "client = Client()\n"
        "code = 'import inprefix; print(inprefix.PLACE)'\n"
        "python = client.environment()\n"
        "for job in (process([sys.executable, '-c', code], python=python), process(['python3', '-c', 'print(42)'])):\n"
        "    handle = client.submit(job)\n"
        "    handle.wait()\n"
        "    print('OUT', handle.outcome().stdout.strip())"
    )
    assert [line for line in other.run(script).splitlines() if line.startswith("OUT")] == [
        "OUT inprefix",
        "OUT 42",
    ]


def test_a_notebook_runs_with_a_kernel_of_its_own_environment(other: Other) -> None:
    pytest.importorskip("nbclient")
    kernels = other.place / "jupyter" / "kernels" / "other"
    kernels.mkdir(parents=True)
    argv = [other.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Other", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    text = json.dumps(notebook(cell("import sys, inprefix, inproject; print('ran by', sys.prefix)")))
    (other.place / "a.ipynb").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "run-notebook", "a.ipynb", "--kernel", "other"],
        env={
            **os.environ,
            "BACALHAU_DIR": str(other.served.repo.path),
            "JUPYTER_PATH": str(other.place / "jupyter"),
        },
        cwd=other.place,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if "which has no sockets" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert f"ran by {other.prefix}" in done.stdout

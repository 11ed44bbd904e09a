"""``run-notebook`` from a shell, on a real node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.node import ServedNode
from tests.services.node_fixtures import node, node_factory

__all__ = ["node", "node_factory"]

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def shell(tmp_path: Path, node: ServedNode) -> Callable[..., subprocess.CompletedProcess[str]]:
    pytest.importorskip("nbclient")
    directory = tmp_path / "work"
    directory.mkdir()
    # The node of this repo directory runs already, so nothing but the directory has to be told.
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BACALHAU_", "JUPYTER", "JPY_"))
    }
    env = {**kept, "BACALHAU_DIR": str(node.repo.path)}

    def run(*words: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            cwd=directory,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    run.directory = directory  # type: ignore[attr-defined]
    run.env = env  # type: ignore[attr-defined]
    return run


def write(shell: Any, name: str, *cells: dict[str, Any]) -> None:
    (shell.directory / name).write_text(json.dumps(notebook(*cells)))


def read(shell: Any, name: str) -> Any:
    return json.loads((shell.directory / name).read_text())


def test_a_notebook_runs_with_typed_parameters_and_its_copy_lies_beside_it(shell: Any) -> None:
    write(
        shell,
        "a.ipynb",
        cell("x = 0; names = []", "parameters"),
        cell("print(x + 1, names[0]['k']); x * 2"),
        cell("open('outputs/made.txt', 'w').write('y')"),
    )
    done = shell("run-notebook", "a.ipynb", "-p", "x=20", "-p", 'names=[{"k": true}]', "--memory", "600mb")
    assert done.returncode == 0, done.stderr
    assert "[cell 3/4] started\n21 True\n[cell 3/4] finished after" in done.stdout
    assert "executed copy: a.out.ipynb" in done.stdout
    copy = read(shell, "a.out.ipynb")
    assert copy["cells"][2]["outputs"][1]["data"]["text/plain"] in ("40", ["40"])
    again = shell("run-notebook", "a.ipynb", "-p", "x=1", "-p", 'names=[{"k": 1}]')
    assert "executed copy: a.out-1.ipynb" in again.stdout, again.stderr
    refused = shell("run-notebook", "a.ipynb", "--save-as", "a.out.ipynb")
    assert refused.returncode == 1
    assert "exists already" in refused.stderr


def test_a_failing_cell_fails_the_command_and_the_copy_shows_why(shell: Any) -> None:
    write(shell, "a.ipynb", cell("print('fine')"), cell("1/0"), cell("print('never')"))
    done = shell("run-notebook", "a.ipynb")
    assert done.returncode == 1
    assert "[cell 2/3] failed after" in done.stdout
    assert "never" not in done.stdout
    assert "ZeroDivisionError" in done.stderr
    assert "exit code 1" in done.stderr
    outputs = [each["outputs"] for each in read(shell, "a.out.ipynb")["cells"]]
    assert outputs[1][0]["ename"] == "ZeroDivisionError"
    assert outputs[2] == []


def test_output_arrives_while_a_cell_runs(shell: Any) -> None:
    write(shell, "a.ipynb", cell("import time\nprint('early', flush=True)\ntime.sleep(600)"))
    command = [sys.executable, "-u", "-m", "bacalhau_jupyter", "run-notebook", "a.ipynb"]
    with subprocess.Popen(
        command,
        cwd=shell.directory,
        env=shell.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        killer = threading.Timer(150, process.kill)
        killer.start()
        assert process.stdout is not None
        assert "early\n" in iter(process.stdout.readline, "")
        listed = shell("job", "list", "--limit", "1", "--wide", "--hide-header").stdout
        assert "Running" in listed
        assert shell("job", "stop", listed.split()[2]).returncode == 0
        process.stdout.read()
        killer.cancel()
    assert process.returncode == 1


def test_an_image_without_nbclient_says_what_it_lacks(shell: Any, python_image: str) -> None:
    write(shell, "a.ipynb", cell("1"))
    done = shell("run-notebook", "a.ipynb", "--image", python_image)
    assert done.returncode == 1
    assert "nbclient and ipykernel" in done.stderr
    assert "the job left no executed copy" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.ipynb"], "missing.ipynb can't be read"),
        (["broken.ipynb"], "broken.ipynb is not a notebook"),
        (["a.ipynb", "-p", "x"], "needs NAME=VALUE"),
        (["a.ipynb", "-p", "a b=1"], "is not a variable name"),
        (["a.ipynb", "--kernel", "nope"], "no kernel 'nope'"),
        (["a.ipynb", "--gpu", "1"], "this node can't give a process a GPU: it has none"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(shell: Any, words: list[str], sentence: str) -> None:
    write(shell, "a.ipynb", cell("1"))
    (shell.directory / "broken.ipynb").write_text("{")
    done = shell("run-notebook", *words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert shell("job", "list", "--output", "json").stdout.strip() in ("[]", "null")


def test_a_dry_run_shows_the_job_and_the_publisher_keeps_its_long_name(shell: Any) -> None:
    write(shell, "a.ipynb", cell("1"))
    done = shell("run-notebook", "a.ipynb", "--dry-run", "--publisher", "local")
    assert done.returncode == 0, done.stderr
    assert "jupyter.org/notebook" in done.stdout
    assert "-p, --parameter" in shell("run-notebook", "--help").stdout

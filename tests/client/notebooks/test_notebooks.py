"""A notebook becomes a job: parameters, names, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.inputs.pending import PendingInput
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.client.notebooks import build as notebooks
from bacalhau_jupyter.client.notebooks import files as notebook_files
from bacalhau_jupyter.client.notebooks.copies import COPY
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo


def cell(source: str, *tags: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}],
        "execution_count": 7,
    }


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)}


def sources(made: dict[str, Any]) -> list[str]:
    return [str(each["source"]) for each in made["cells"]]


def node(runtime: str = "bubblewrap 0.11.0", **info: Any) -> NodeInfo:
    compute = ComputeNodeInfo(
        execution_engines=["process"], engine_runtimes={"process": runtime} if runtime else {}, **info
    )
    return NodeInfo(compute_node_info=compute)


def test_the_injected_cell_follows_the_tagged_one_and_replaces_an_older_one() -> None:
    given_one = notebook(
        cell("import os"), cell("x = 0", "parameters"), cell("x = 1", "injected-parameters"), cell("x, s")
    )
    made = notebook_files.with_parameters({**given_one, "nbformat_minor": 5}, {"x": 2, "s": "it's"})
    assert sources(made) == ["import os", "x = 0", '# Parameters\nx = 2\ns = "it\'s"', "x, s"]
    assert made["cells"][2]["metadata"]["tags"] == ["injected-parameters"]
    assert made["cells"][2]["id"]
    assert all(each["outputs"] == [] and each["execution_count"] is None for each in made["cells"])
    assert given_one["cells"][0]["outputs"], "the given notebook stays as it is"


def test_without_a_tagged_cell_the_parameters_come_first() -> None:
    made = notebook_files.with_parameters(notebook(cell("x")), {"x": 1})
    assert sources(made) == ["# Parameters\nx = 1", "x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("true", True),
        ("True", True),
        ("None", None),
        ("null", None),
        ("yes", "yes"),
        ("2026-11-22", "2026-11-22"),
        ('"1"', "1"),
        ("[1, 2]", [1, 2]),
        ('{"a": null}', {"a": None}),
        ("a=b", "a=b"),
        ("", ""),
        ("007", "007"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_values_are_typed_as_their_text_says(text: str, value: object) -> None:
    parsed = notebook_files.typed(text)
    assert (type(parsed), parsed) == (type(value), value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=JSON)
def test_any_json_value_arrives_in_the_notebook_as_it_was(value: Any) -> None:
    source = sources(notebook_files.with_parameters(notebook(cell("x")), {"x": value}))[0]
    space: dict[str, Any] = {}
    exec(source, space)
    assert repr(space["x"]) == repr(value) or (isinstance(value, float) and math.isnan(space["x"]))


@pytest.mark.parametrize("name", ["1x", "a b", "class", "", "x; import os", "x\n"])
def test_a_parameter_that_is_not_a_variable_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="is not a variable name"):
        notebook_files.with_parameters(notebook(), {name: 1})


@pytest.mark.parametrize(
    ("cells", "hint"),
    [
        ([cell("n = 1", "parameters"), cell("print(n)")], "did you mean n?"),
        ([cell("n = 1\nregion: str = 'x'", "parameters")], "did you mean n?"),
        ([cell("print(n)")], "did you mean n?"),
        ([cell("region = 1", "parameters"), cell("%pip install x\n!ls")], "its parameters: region"),
        ([cell("x = 1")], "no cell of it uses that name"),
    ],
)
def test_a_parameter_that_the_notebook_does_not_have_is_refused(
    cells: list[dict[str, Any]], hint: str
) -> None:
    with pytest.raises(BadRequest, match="the notebook has no parameter 'nn'") as caught:
        notebook_files.with_parameters(notebook(*cells), {"nn": 1})
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "source",
    ["print(nn)", "def f():\n    return nn", "!echo {nn}", "%time f(nn)", "%%bash\necho $nn", "if x:"],
)
def test_a_parameter_that_some_cell_reads_or_may_read_is_one(source: str) -> None:
    made = notebook_files.with_parameters(notebook(cell("n = 1", "parameters"), cell(source)), {"nn": 1})
    assert "nn = 1" in sources(made)[1]


def test_parameters_of_a_notebook_in_another_language_are_refused() -> None:
    with pytest.raises(BadRequest, match="this one is in r"):
        notebook_files.with_parameters(notebook(language_info={"name": "R"}), {"x": 1})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"nbformat": 3, "cells": []}',
        '{"nbformat": 4, "worksheets": []}',
        '{"nbformat": 4, "cells": [1]}',
        '{"nbformat": 4, "cells": [{"source": 1}]}',
        '{"nbformat": 4, "cells": [{"source": "", "metadata": []}]}',
        '{"nbformat": 4, "cells": [], "metadata": 1}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_not_a_notebook_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match=r"x\.ipynb"):
        notebook_files.read_notebook(text, "x.ipynb")


def test_the_job_carries_the_notebook_its_names_and_a_visible_environment() -> None:
    job = notebooks.notebook_job(
        notebook(cell("1")),
        "reports/a b.ipynb",
        node(),
        shares_machine=True,
        options=JobOptions(memory="1gb", labels={"team": "x"}),
    )
    assert job.meta[notebooks.PATH] == "reports/a b.ipynb"
    assert job.meta[COPY] == "a b.out.ipynb"
    assert job.labels == {"team": "x", notebooks.LABEL: "manual"}
    assert job.task.engine.type == "process"
    assert job.task.resources.memory == "1gb"
    assert [item.target for item in job.task.input_sources] == ["/inputs/.bacalhau"]


def test_an_image_runs_it_in_a_container_wherever_the_cluster_is() -> None:
    job = notebooks.notebook_job(
        notebook(),
        "a.ipynb",
        NodeInfo(),
        shares_machine=False,
        image="jupyter/x:1",
        options=JobOptions(gpu="1"),
    )
    assert job.task.engine.type == "docker"
    assert job.task.engine.params["Image"] == "jupyter/x:1"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"shares_machine": False}, "does not run on this machine"),
        ({"options": JobOptions(gpu="1")}, "this node can't give a process a GPU: it has none"),
        ({"node": node("Landlock 4 + seccomp")}, "which has no sockets"),
        ({"node": NodeInfo()}, "no process engine"),
    ],
)
def test_what_can_not_run_here_names_the_way_out(arguments: dict[str, Any], sentence: str) -> None:
    given_node = arguments.pop("node", node())
    shares = arguments.pop("shares_machine", True)
    with pytest.raises(BacalhauError, match=sentence) as caught:
        notebooks.notebook_job(notebook(), "a.ipynb", given_node, shares_machine=shares, **arguments)
    assert "--image" in caught.value.hint


def test_a_missing_nbclient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "find_spec", lambda name: None if name == "nbclient" else object())
    with pytest.raises(BadRequest, match="needs nbclient") as caught:
        notebooks.notebook_job(notebook(), "a.ipynb", node(), shares_machine=True)
    assert "pip install nbclient" in caught.value.hint


def test_kernels_that_are_unknown_or_not_python_are_refused() -> None:
    pytest.importorskip("jupyter_client")
    with pytest.raises(BadRequest, match="no kernel 'nope'"):
        notebooks.kernel_argv(notebook(kernelspec={"name": "nope"}))
    with pytest.raises(BadRequest, match="is in R"):
        notebooks.checked_argv("ir", ["R"], "R")


def test_a_copy_never_replaces_anything(tmp_path: Path) -> None:
    original = tmp_path / "a.ipynb"
    names = [notebook_files.save_beside(b"%d" % number, original).name for number in range(3)]
    assert names == ["a.out.ipynb", "a.out-1.ipynb", "a.out-2.ipynb"]
    assert (tmp_path / "a.out.ipynb").read_bytes() == b"0"
    with pytest.raises(BadRequest, match="exists already"):
        notebook_files.save_beside(b"x", original, tmp_path / "a.out.ipynb")
    with pytest.raises(BadRequest, match="can't be written"):
        notebook_files.save_beside(b"x", original, tmp_path / "no" / "such.ipynb")


def test_a_large_notebook_travels_ahead_of_its_job() -> None:
    large = notebook(cell(json.dumps("x" * 7_000_000)))
    job = notebooks.notebook_job(large, "a.ipynb", node(), shares_machine=True)
    (kit,) = [item for item in job.task.input_sources if isinstance(item, PendingInput)]
    assert kit.content.is_archive and kit.target == "/inputs/.bacalhau"

"""Functions and classes that only the notebook has, on their way into a Python body."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.bodies.values import pack
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from tests.notebook import bodies
from tests.notebook.test_cells import BOTH, packed_kit_of


def of_the_notebook(source: str) -> dict[str, Any]:
    """Run a cell's source as a notebook would: its functions belong to ``__main__``."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    return space


FACTOR = """
factor = 3
def scaled(x):
    return x * factor
class Point:
    def __init__(self, x):
        self.x = x
    def scaled(self):
        return scaled(self.x)
point = Point(2)
"""


def test_a_function_travels_with_what_it_uses(tmp_path: Path) -> None:
    space = of_the_notebook(FACTOR)
    done = bodies.run(tmp_path, "print(scaled(7))", variables={"scaled": space["scaled"]})
    assert done.stdout == "21\n", done.stderr


def test_an_instance_travels_with_its_class(tmp_path: Path) -> None:
    done = bodies.run(
        tmp_path, "print(point.scaled())", variables={"point": of_the_notebook(FACTOR)["point"]}
    )
    assert done.stdout == "6\n", done.stderr


def test_a_lambda_travels(tmp_path: Path) -> None:
    done = bodies.run(tmp_path, "print(list(map(f, [1, 2])))", variables={"f": lambda x: x + 1})
    assert done.stdout == "[2, 3]\n", done.stderr


def test_cloudpickle_comes_along_where_the_job_has_none(tmp_path: Path) -> None:
    body = "import cloudpickle\nprint(cloudpickle.__file__)"
    done = bodies.run(tmp_path, body, variables={"f": lambda: 1})
    assert "vendor/cloudpickle" in done.stdout, done.stderr


def test_what_can_not_travel_is_named_with_a_way_out() -> None:
    lock = threading.Lock()
    with pytest.raises(BadRequest, match=r"--in f: a function can't be sent to a job: .*lock") as raised:
        pack("f", lambda: lock, python_body=True)
    assert "inside it" in raised.value.hint


def test_another_python_is_refused_before_submission() -> None:
    cell = Cell("python", "f()", variables={"f": lambda: 1}, image="python:3.9-slim")
    with pytest.raises(BadRequest, match=r"--in f travels from Python 3\.\d+ .* python:3\.9-slim has 3\.9"):
        job_of_cell(cell, BOTH, shares_machine=True)


def test_another_python_under_an_unknown_name_says_so_before_it_reads_anything(tmp_path: Path) -> None:
    cell = Cell("python", "print(1)", variables={"f": lambda: 1})
    kit = packed_kit_of(job_of_cell(cell, BOTH, shares_machine=True))
    assert json.loads(kit["cell.json"])["python"]
    done = bodies.run(tmp_path, "print(1)", variables={"f": lambda: 1}, changes={"python": [2, 7]})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("the notebook's functions travel to Python 2.7 only")
    assert done.stdout == ""

"""What travels with a cell: the body, the program that runs it, its variables, and modules beside the notebook."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from bacalhau_jupyter.client.bodies import program
from bacalhau_jupyter.client.bodies.program import cloudpickle_files, runner_files
from bacalhau_jupyter.client.bodies.values import LARGE, Packed, pack
from bacalhau_jupyter.client.inputs.inline import SMALL
from bacalhau_jupyter.client.inputs.pending import pending
from bacalhau_jupyter.client.jobs import build, python_body
from bacalhau_jupyter.client.results.references import ResultPart
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.values.sql import SQL, sql_files

_ASIDE = "-in"
"""What follows the kit's place in the place of large variables."""


def kit_of(
    cell: Cell, body: str, ways_out: list[str], place: str
) -> tuple[dict[str, bytes], list[InputSource]]:
    """Return the files that travel with a body, and the variables that are inputs of their own.

    Parameters
    ----------
    cell
        The cell.
    body
        Its text.
    place
        Where the job finds those files.
    ways_out
        What a person can do when a module is missing there; NAME stands for the module.

    Raises
    ------
    BadRequest
        A variable can't travel.
    """
    results, extra = _results(cell)
    variables = {name: value for name, value in cell.variables.items() if name not in results}
    if cell.language == SQL:
        files, tables = sql_files(cell, body, ways_out)
        return files, [*extra, *(_input(item, f"/inputs/{item.file}") for item in tables)]
    if not cell.is_python:
        return {"cell.sh": body.encode() + b"\n"}, [*extra, *_as_files(variables)]
    packed = {name: pack(name, value, python_body=True) for name, value in variables.items()}
    large = _too_much(packed)
    # Beside the kit, not in it: a container can't mount inside a read-only directory.
    aside = f"{place}{_ASIDE}"
    extra += [_input(packed[name], f"{aside}/{packed[name].file}") for name in large]
    up = f"../../{PurePosixPath(aside).name}"
    packed |= {name: replace(packed[name], file=f"{up}/{packed[name].file}") for name in large}
    packed |= {name: Packed(name, "input", b"") for name in results}
    description: dict[str, Any] = {
        "in": {name: [item.file, item.kind] for name, item in packed.items()},
        "out": list(cell.output_names),
        "ways": ways_out,
        "argv": list(cell.command[1:]),
        "stays": bool(cell.workdir),
    }
    by_value = [name for name, item in packed.items() if item.kind == "cloudpickle"]
    if by_value:
        python_body.refuse_other_python(cell.image, f"--in {by_value[0]}")
        description["python"] = sys.version_info[:2]
    files = {
        **runner_files(),
        **(cloudpickle_files() if by_value else {}),
        # The lines above the body are empty: every line has the number that the person sees.
        "cell.py": b"\n" * (cell.first_line - 1) + body.encode() + b"\n",
        "cell.json": encode(description),
        **{
            f"in/{item.file}": item.data
            for name, item in packed.items()
            if item.kind != "input" and name not in large
        },
        **{f"modules/{name}": data for name, data in cell.modules.items()},
    }
    return files, extra


def variables_as_files(cell: Cell) -> list[InputSource]:
    """Return the variables of a cell as inputs that any program can read.

    Raises
    ------
    BadRequest
        A variable can't travel.
    """
    results, extra = _results(cell)
    return [*extra, *_as_files({name: it for name, it in cell.variables.items() if name not in results})]


def _results(cell: Cell) -> tuple[Mapping[str, JobResult | ResultPart], list[InputSource]]:
    """Return the variables that are results of jobs; each is passed by reference: a directory below the inputs."""
    results = {
        name: value for name, value in cell.variables.items() if isinstance(value, JobResult | ResultPart)
    }
    return results, [
        source for name, value in results.items() for source in value.to(f"/inputs/{name}").as_inputs()
    ]


def _as_files(variables: Mapping[str, Any]) -> list[InputSource]:
    packed = [pack(name, value, python_body=False) for name, value in variables.items()]
    return [_input(item, f"/inputs/{item.file}") for item in packed]


def _too_much(packed: Mapping[str, Packed]) -> set[str]:
    """Return which variables are inputs of their own: the large ones, and what is too much together."""
    chosen, left = set(), LARGE
    for name, item in sorted(packed.items(), key=lambda each: len(each[1].data)):
        left -= len(item.data)
        if item.content is not None or left < 0:
            chosen.add(name)
    return chosen


def _input(item: Packed, target: str) -> InputSource:
    if item.content is None and len(item.data) <= SMALL:
        return build.inline(item.data, target)
    return pending(item.as_content(), target, target)


def has_runner(job: Job) -> bool:
    """Whether a job is a Python cell of ours: its output may hold displays."""
    return bool(job.tasks) and program.has_runner(job.tasks[0].engine.params)

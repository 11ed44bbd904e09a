"""A cell becomes a job: which program runs the body, on which engine, with what beside it."""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from typing import Any

from bacalhau_jupyter.client.bodies.fonts import font_lists
from bacalhau_jupyter.client.bodies.program import SHELL_START, shell_start
from bacalhau_jupyter.client.inputs.inline import ship_files
from bacalhau_jupyter.client.jobs import build, python_body
from bacalhau_jupyter.client.jobs.environments import ToSpec, named
from bacalhau_jupyter.client.jobs.python_body import KIT
from bacalhau_jupyter.client.wasm.building import TYPE as WASM
from bacalhau_jupyter.client.wasm.building import Program, job_of_program, of_text
from bacalhau_jupyter.client.wasm.python import HINT, check_variables, is_installed, python_program
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.kit import kit_of, variables_as_files
from bacalhau_jupyter.notebook.values.sql import SQL, check_duckdb

DEFAULT_SHELL_IMAGE = "debian:stable-slim"
_SHELLS = ("sh", "bash", "dash", "ash")


def job_of_cell(cell: Cell, node: NodeInfo, *, shares_machine: bool, environment: ToSpec = dict) -> Job:
    """Build the job of a cell.

    Parameters
    ----------
    cell
        The cell.
    node
        The connected node, whose engines decide where a body can run.
    shares_machine
        Whether that node runs on this kernel's machine, so that the kernel's own Python is there.
    environment
        Registers this kernel's Python with the node (`Client.environment`).

    Raises
    ------
    BacalhauError
        No engine of the node can run it; the reason of each is named.
    """
    if cell.language == WASM:
        return _module(cell)
    # What stands above a Python body's first line counts: a traceback's line numbers are the cell's.
    has_lines = cell.is_python or cell.language == SQL
    body = cell.body.rstrip("\n") if has_lines else cell.body.strip("\n")
    if cell.language == "docker" and not body.strip():
        _no_variables(cell)
        _no_packages(cell)
        container = build.docker_engine(
            cell.image, cell.command, entrypoint=cell.entrypoint, workdir=cell.workdir
        )
        return build.job_of(container, cell.options)
    if not body.strip():
        raise BadRequest(f"the cell has no body for {cell.language} to run")
    if not has_lines:
        _refuse_python(cell, body)
        _no_packages(cell)
    engine = choose_engine(cell, node, shares_machine=shares_machine)
    if engine == WASM:
        _check_python(cell)
    if cell.language == SQL:
        check_duckdb(cell, engine)
    files, extra = kit_of(cell, body, ways_out(engine), KIT[engine])
    if engine == "process" and cell.is_python:
        codes = [body, *(str(data, "utf-8", "replace") for data in cell.modules.values())]
        files |= {f"fonts/{name}": data for name, data in font_lists(codes, os.environ).items()}
    if engine == "docker" and _starts_elsewhere(cell, body):
        files[SHELL_START] = shell_start()
    kit = ship_files(files, KIT[engine], what="the cell with its variables")
    options = replace(cell.options, inputs=[*cell.options.inputs, kit, *extra])
    if engine == WASM:
        check_variables(files)
        return job_of_program(python_program(), options)
    if engine == "process":
        travels = python_body.may_travel(options, shares_machine=shares_machine)
        to_spec = environment if shares_machine else named
        return build.job_of(_process(cell, to_spec, travels=travels), options)
    return build.job_of(_container(cell, body), options)


def _module(cell: Cell) -> Job:
    """Build the job of a WebAssembly cell.

    Raises
    ------
    BadRequest
        It names no module, or one that nodes can't run.
    """
    has_body = bool(cell.body.strip())
    if has_body and cell.module:
        raise BadRequest(
            "--module names what runs, and the cell has a body, too", hint="leave one of the two out"
        )
    if not has_body and not cell.module:
        raise BadRequest(
            "the cell has no body for wasm to run", hint="write WebAssembly text, or --module FILE.wasm"
        )
    module = cell.module or of_text(cell.body.rstrip("\n"), first_line=cell.first_line)
    program = Program(module, cell.command, cell.entry_point, cell.import_modules)
    inputs = [*cell.options.inputs, *variables_as_files(cell)]
    return job_of_program(program, replace(cell.options, inputs=inputs))


def choose_engine(cell: Cell, node: NodeInfo, *, shares_machine: bool) -> str:
    """Say which engine runs a body: the one that was asked for, else see `python_body.choose_engine`."""
    asks_container = cell.language == "docker" or bool(cell.image) or cell.options.asks_container
    what = f"a {cell.language} cell"
    if cell.engine:
        return cell.engine
    try:
        return python_body.choose_engine(
            node, what, asks_container=asks_container, shares_machine=shares_machine
        )
    except BacalhauError as error:
        offered = {name.lower() for name in node.compute_node_info.execution_engines or []}
        if cell.language != "python" or WASM not in offered:
            raise
        if is_installed():
            return WASM
        raise BacalhauError(error.message, hint=HINT, component=error.component) from None


def _check_python(cell: Cell) -> None:
    """Refuse what a Python of WebAssembly can't run.

    Raises
    ------
    BadRequest
        It is no Python cell, or needs packages.
    """
    if cell.language != "python":
        raise BadRequest(
            f"--engine wasm runs Python bodies, not those of a {cell.language} cell",
            hint="%%bacalhau wasm runs WebAssembly modules",
        )
    if cell.options.pip or cell.options.no_binary:
        raise BadRequest(
            "--engine wasm has the standard library only, so --pip can't bring packages",
            hint="leave --engine out, or put a module of pure Python beside the notebook: it travels along",
        )


def _process(cell: Cell, environment: ToSpec, *, travels: bool) -> SpecConfig:
    commands = {
        "python": None,
        SQL: None,
        "sh": ["sh", "inputs/.bacalhau/cell.sh"],
        "bash": ["bash", "inputs/.bacalhau/cell.sh"],
    }
    if cell.language not in commands:
        raise BadRequest("--engine process runs sh, bash, python and sql cells, not images")
    return python_body.in_own_environment(
        commands[cell.language], environment, workdir=cell.workdir, travels=travels
    )


def _container(cell: Cell, body: str) -> SpecConfig:
    if cell.is_python or cell.language == SQL:
        return python_body.in_container(cell.image, workdir=cell.workdir)
    program = _program(cell, body)
    entrypoint = [*program, f"{KIT['docker']}/cell.sh"]
    if _starts_elsewhere(cell, body):
        entrypoint = [program[0], f"{KIT['docker']}/{SHELL_START}", *entrypoint]
    image = cell.image if cell.language == "docker" else cell.image or DEFAULT_SHELL_IMAGE
    params: dict[str, Any] = {
        "Image": image,
        "Entrypoint": entrypoint,
        "WorkingDirectory": cell.workdir or "/",
    }
    if cell.command:
        params["Parameters"] = list(cell.command)
    return SpecConfig(type="docker", params=params)


def _program(cell: Cell, body: str) -> list[str]:
    """Return what runs a body in a container that is not Python's."""
    return interpreter(body) if cell.language == "docker" else [cell.language]


def _starts_elsewhere(cell: Cell, body: str) -> bool:
    """Whether a body in a container gets a directory that it can write to; a shell is there to look for one."""
    if cell.is_python or cell.language == SQL or cell.workdir:
        return False
    return _program(cell, body)[0].rpartition("/")[2] in _SHELLS


def interpreter(body: str) -> list[str]:
    """Return the program of the body's ``#!`` line, else ``sh``."""
    first = body.split("\n", 1)[0]
    words = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return words or ["sh"]


def ways_out(engine: str) -> list[str]:
    """Return what a person can do about a module NAME that a job's Python lacks."""
    if engine == WASM:
        return ["--engine wasm has the standard library only", "NAME.py beside the notebook travels along"]
    has_pip = any(option.name == "pip" for option in cell_group.commands["python"].params)
    return [
        *(["--pip NAME brings it along"] if has_pip else []),
        "install it for this kernel (pip install NAME)"
        if engine == "process"
        else "--image names an image that holds it",
        "NAME.py beside the notebook travels with the cell that imports it",
    ]


def _refuse_python(cell: Cell, body: str) -> None:
    """Refuse a Python body that a shell would run.

    Raises
    ------
    BadRequest
        The body is Python and says nothing of what runs it.
    """
    if body.startswith("#!") or not looks_like_python(body):
        return
    ways = "#!/bin/sh as the body's first line runs it with sh all the same"
    if cell.language == "docker":
        ways = (
            f"add #!/usr/bin/env python3 as its first line, end the cell's first line with `-- python`, "
            f"or write %%bacalhau python --image {cell.image}; {ways}"
        )
    else:
        ways = f"write %%bacalhau python; {ways}"
    program = "sh" if cell.language == "docker" else cell.language
    raise BadRequest(f"the body is Python, but {program} would run it", hint=ways)


def looks_like_python(body: str) -> bool:
    """Whether a body is valid Python and says something that no shell script does."""
    if not any(word in body for word in ("import ", "print(", "def ", "class ")):
        return False
    try:
        tree = ast.parse(body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print")
        for node in ast.walk(tree)
    )


def _no_packages(cell: Cell) -> None:
    if cell.options.pip or cell.options.no_binary:
        raise BadRequest(
            "--pip brings packages for a Python body, and this cell has none",
            hint="%%bacalhau python --image IMAGE, or end the line with `-- python`",
        )


def _no_variables(cell: Cell) -> None:
    if cell.variables:
        raise BadRequest("--in needs a cell body that reads the variables")

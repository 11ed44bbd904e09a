"""Notebook files: reading one, putting parameters in, and where its executed copy goes. Plain JSON, no nbformat."""

from __future__ import annotations

import copy
import json
import keyword
import math
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bacalhau_jupyter.client.notebooks.parameters import INJECTED, PARAMETERS, refuse_unknown, tags_of
from bacalhau_jupyter.models.errors import BadRequest


def read_notebook(text: str, what: str) -> dict[str, Any]:
    """Parse a notebook file.

    Raises
    ------
    BadRequest
        It is not a notebook of format 4.
    """
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} is not a notebook: {error}") from error
    return check_notebook(notebook, what)


def check_notebook(notebook: Any, what: str) -> dict[str, Any]:
    """Return the notebook if it is one of format 4; raises as `read_notebook` does."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise BadRequest(f"{what} is not a notebook of format 4 (it has no list of cells)")
    if notebook.get("nbformat") != 4:
        raise BadRequest(f"{what} has notebook format {notebook.get('nbformat')!r}; only 4 can be run")
    for number, cell in enumerate(notebook["cells"], 1):
        source = cell.get("source") if isinstance(cell, dict) else None
        lines = source if isinstance(source, list) else [source]
        if not all(isinstance(line, str) for line in lines) or not isinstance(cell.get("metadata", {}), dict):
            raise BadRequest(f"{what}: cell {number} is not a notebook cell")
    if not isinstance(notebook.setdefault("metadata", {}), dict):
        raise BadRequest(f"{what}: its metadata is not a mapping")
    return notebook


def typed(text: str) -> Any:
    """Turn the text after ``-p x=`` into a value: JSON, Python's True, False and None, else the text itself."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def with_parameters(notebook: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy without outputs in which a new cell sets ``values``.

    The cell follows the one tagged ``parameters``, or comes first without one; an injected cell of an earlier run
    is replaced.

    Raises
    ------
    BadRequest
        A name is not a variable name, the notebook does not have it, a value has no Python literal, or the notebook
        is not in Python.
    """
    made = copy.deepcopy(dict(notebook))
    for cell in made["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    if not values:
        return made
    language = _language(made)
    if language != "python":
        raise BadRequest(f"parameters can be set in Python notebooks only, and this one is in {language}")
    lines = [
        "# Parameters\n",
        *(f"{_name(name)} = {_literal(name, value)}\n" for name, value in values.items()),
    ]
    refuse_unknown(values, made["cells"])
    injected: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED]},
        "outputs": [],
        "source": "".join(lines).rstrip("\n"),
    }
    if made.get("nbformat_minor", 0) >= 5:
        injected["id"] = uuid.uuid4().hex[:8]
    cells = [cell for cell in made["cells"] if INJECTED not in tags_of(cell)]
    after = next((index for index, cell in enumerate(cells, 1) if PARAMETERS in tags_of(cell)), 0)
    made["cells"] = [*cells[:after], injected, *cells[after:]]
    return made


def _language(notebook: Mapping[str, Any]) -> str:
    metadata = notebook.get("metadata", {})
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        section_data = metadata.get(section)
        if isinstance(section_data, dict) and isinstance(section_data.get(key), str):
            return str(section_data[key]).lower()
    return "python"


def _name(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise BadRequest(f"parameter {name!r} is not a variable name")
    return name


def _literal(name: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(name, item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(name, item)}" for key, item in value.items()) + "}"
    raise BadRequest(f"parameter {name}: a {type(value).__name__} can't be written into a notebook")


def copy_name(path: str, number: int = 0) -> str:
    """Return the executed copy's name: ``report.out.ipynb``, then ``report.out-1.ipynb`` and so on."""
    stem = PurePosixPath(path).name.removesuffix(".ipynb") or "notebook"
    return f"{stem}.out-{number}.ipynb" if number else f"{stem}.out.ipynb"


def save_beside(notebook: bytes, original: Path, target: Path | None = None) -> Path:
    """Write an executed copy beside its original, under the first name that is free; return where it is.

    Raises
    ------
    BadRequest
        ``target`` was asked for and exists already, or it can't be written.
    """
    number = 0
    while True:
        path = target or original.with_name(copy_name(original.name, number))
        try:
            with path.open("xb") as file:
                file.write(notebook)
            return path
        except FileExistsError:
            if target is not None:
                raise BadRequest(f"{target} exists already, and nothing is overwritten") from None
            number += 1
        except OSError as error:
            raise BadRequest(f"{path} can't be written: {error.strerror}") from error

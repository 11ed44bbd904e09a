"""Which parameters a notebook has: the variables of its tagged cell, and any name that its code reads."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest

PARAMETERS, INJECTED = "parameters", "injected-parameters"
"""Cell tags, as papermill has them."""

_OTHER_LANGUAGES = ("%", "!", "?")


def tags_of(cell: Mapping[str, Any]) -> list[Any]:
    """Return a cell's tags."""
    tags = cell.get("metadata", {}).get("tags")
    return tags if isinstance(tags, list) else []


def parameters_of(cells: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the variables of the tagged cells, with the code of their values where it is short."""
    values: dict[str, str] = {}
    for cell in cells:
        if cell.get("cell_type") != "code" or PARAMETERS not in tags_of(cell):
            continue
        try:
            tree = ast.parse(_source(cell))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            value = (
                ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ""
            )
            values |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return values


def refuse_unknown(names: Iterable[str], cells: Sequence[Mapping[str, Any]]) -> None:
    """Check that a notebook has each parameter.

    Raises
    ------
    BadRequest
        No cell of the notebook uses a name; the nearest one is named.
    """
    assigned: set[str] = set()
    read: set[str] = set()
    for cell in cells:
        if cell.get("cell_type") != "code" or INJECTED in tags_of(cell):
            continue
        variables = _variables(cell)
        if variables is None:
            # A cell that is not Python as it stands may use any name.
            return
        assigned |= variables[0] if PARAMETERS in tags_of(cell) else set()
        read |= variables[1]
    for name in names:
        if name.isidentifier() and name not in assigned | read:
            near = difflib.get_close_matches(name, sorted(assigned or read), 1)
            other = (
                f"its parameters: {', '.join(sorted(assigned))}"
                if assigned
                else "no cell of it uses that name"
            )
            raise BadRequest(
                f"the notebook has no parameter {name!r}", hint=f"did you mean {near[0]}?" if near else other
            )


def _variables(cell: Mapping[str, Any]) -> tuple[set[str], set[str]] | None:
    """Return the names that a cell assigns, and those that it reads; None if it can't be told."""
    text = _source(cell)
    if text.lstrip().startswith("%%"):
        return None
    lines = text.split("\n")
    names: set[str] = set()
    for number, line in enumerate(lines):
        if line.lstrip().startswith(_OTHER_LANGUAGES):
            # IPython fills names into such a line.
            names |= set(_words(line))
            lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    name_nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assigned = {node.id for node in name_nodes if isinstance(node.ctx, ast.Store)}
    return assigned, names | {node.id for node in name_nodes if isinstance(node.ctx, ast.Load)}


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _words(line: str) -> list[str]:
    return "".join(sign if sign.isalnum() or sign == "_" else " " for sign in line).split()

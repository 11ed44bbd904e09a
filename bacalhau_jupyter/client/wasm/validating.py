"""``wasm validate``: all that can be said of a module before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.client.inputs.uri import is_here, parse_input, path_here
from bacalhau_jupyter.client.inputs.uri_hints import nearest_file
from bacalhau_jupyter.client.wasm.checking import Problem, problems, provider
from bacalhau_jupyter.client.wasm.modules import (
    ENTRY_TARGET,
    IMPORTED,
    Placed,
    check_is_held,
    is_within,
    of_file,
    placed,
)
from bacalhau_jupyter.client.wasm.text import can_look_inside, problem_of
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.webassembly.module import HOST_MODULES, Module

_WHOLE = "sections and functions"
_OUTSIDE = "sections only (pip install 'bacalhau-jupyter[wasm]' checks functions, too)"


@dataclass(frozen=True)
class Imported:
    """What a module takes from another one, and who provides that; empty where nobody does."""

    module: str
    names: Sequence[str]
    provider: str


@dataclass(frozen=True)
class Validated:
    """What was listed out.

    Attributes
    ----------
    what
        The file's name.
    functions
        Functions that it exports.
    memory
        Memory that it starts with, for people.
    imports
        What it imports, by module.
    depth
        What was checked.
    problems, hints
        Why nodes can't run it, a sentence each, and what to do; empty where they can.
    """

    what: str
    functions: Sequence[str]
    memory: str
    imports: Sequence[Imported]
    depth: str
    problems: Sequence[str]
    hints: Sequence[str]

    def record(self) -> dict[str, object]:
        """Return it for JSON and YAML."""
        return {
            "Module": self.what,
            "Functions": list(self.functions),
            "Imports": [
                {"Module": each.module, "Names": list(each.names), "Provider": each.provider}
                for each in self.imports
            ],
            "Checked": self.depth,
            "Problems": list(self.problems),
            "Hints": list(self.hints),
        }


def validated(file: str, import_modules: Sequence[str], inputs: Sequence[str], entry_point: str) -> Validated:
    """Check a module of this machine.

    Raises
    ------
    BadRequest
        There is no such file, or it is no module at all.
    """
    path = path_here(file)
    if not is_here(path):
        raise BadRequest(f"there is no file {shown(file)} here", hint=nearest_file(path))
    entry = of_file(path, ENTRY_TARGET)
    imported = [placed(text, "", IMPORTED) for text in import_modules]
    targets = [parse_input(text).target for text in inputs]
    for each in imported:
        check_is_held(each, targets, IMPORTED)
    listed = problems(entry, imported, targets, entry_point)
    if not listed and (problem := problem_of(path.read_bytes())):
        listed = [Problem(f"{entry.what} is not valid: {problem}", "build it again")]
    module = entry.module or Module()
    return Validated(
        what=entry.what,
        functions=[shown(name) for name in module.functions()],
        memory=format_bytes(module.memory),
        imports=_imports(module, imported, targets),
        depth=_WHOLE if can_look_inside() else _OUTSIDE,
        problems=[each.text for each in listed],
        hints=list(dict.fromkeys(each.hint for each in listed if each.hint)),
    )


def _imports(module: Module, imported: Sequence[Placed], targets: Sequence[str]) -> list[Imported]:
    names: dict[str, list[str]] = {}
    for item in module.imports:
        names.setdefault(item.module, []).append(shown(item.name))
    return [Imported(shown(name), taken, _provider(name, imported, targets)) for name, taken in names.items()]


def _provider(name: str, imported: Sequence[Placed], targets: Sequence[str]) -> str:
    if name in HOST_MODULES:
        return "the node"
    library = provider(name, imported)
    if library is not None:
        return library.what
    return "an input" if is_within(name, targets) else ""

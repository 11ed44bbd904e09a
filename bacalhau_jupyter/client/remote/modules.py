"""The modules that a call needs: those that what is pickled belongs to, is, or imports. No text counts as a name."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

_BY_NAME = {"import_module", "__import__"}


class NeededModules:
    """Collects the names of modules from parts of what is pickled."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def see(self, part: object) -> None:
        """Look at one function, class, module or instance."""
        if isinstance(part, ModuleType):
            self._names.add(part.__name__)
        elif isinstance(part, type | FunctionType | BuiltinFunctionType):
            self._names.add(str(getattr(part, "__module__", None) or ""))
        if isinstance(part, FunctionType):
            self._names.update(_imported(part.__code__))

    def statements(self) -> list[str]:
        """Return an import of each, for `client.inputs.modules.snapshot`."""
        names = {name for name in self._names if all(part.isidentifier() for part in name.split("."))}
        return [f"import {name}" for name in sorted(names - {"__main__", "__mp_main__", "builtins"})]


def _imported(code: CodeType) -> Iterator[str]:
    """Yield the modules that a function imports when it runs, also the functions inside it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield str(instruction.argval)
    if not _BY_NAME.isdisjoint(code.co_names):
        yield from (each for each in code.co_consts if isinstance(each, str))
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _imported(inner)

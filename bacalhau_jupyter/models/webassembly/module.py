"""What a WebAssembly module says of itself: its imports, its exports, and which of them may be called first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.models.names import shown

WASI = "wasi_snapshot_preview1"
HTTP = "wasi:http/requests"
HOST_MODULES = (WASI, HTTP)
"""Modules that a node provides itself."""

ENTRY_POINT = "_start"
"""What is called where nobody names a function."""

FUNCTION = "function"

_LISTED = 8
"""Names that a hint lists."""


@dataclass(frozen=True)
class Import:
    """Something that a module takes from another one."""

    module: str
    name: str
    kind: str


@dataclass(frozen=True)
class Export:
    """Something that a module offers; ``parameters`` of a function counts its parameters, None where not known."""

    name: str
    kind: str
    parameters: int | None = None


@dataclass(frozen=True)
class Module:
    """What a module says of itself.

    Attributes
    ----------
    imports, exports
        In the order of the file.
    memory
        Bytes of memory that it starts with.
    """

    imports: Sequence[Import] = ()
    exports: Sequence[Export] = ()
    memory: int = 0

    def functions(self) -> list[str]:
        """Return the names of the functions that it exports."""
        return [item.name for item in self.exports if item.kind == FUNCTION]

    def entry_problem(self, name: str) -> str:
        """Say why a function can't be the one that is called first; empty where it can."""
        export = next((item for item in self.exports if item.name == name), None)
        if export is None:
            return f"it exports no function {shown(name)}"
        if export.kind != FUNCTION:
            return f"its export {shown(name)} is a {export.kind}, not a function"
        if export.parameters:
            return f"its function {shown(name)} takes parameters, and it is called without any"
        return ""

    def entry_hint(self) -> str:
        """Say which functions could be called first."""
        names = [name for name in self.functions() if not self.entry_problem(name)]
        if not names:
            return "build it as a program (a command of WASI), not as a library"
        listed = ", ".join(map(shown, names[:_LISTED])) + (", …" if len(names) > _LISTED else "")
        return f"--entry-point names another: {listed}"

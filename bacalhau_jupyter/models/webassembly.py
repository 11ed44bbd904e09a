"""WebAssembly modules as files: what one imports, exports and calls first. Pure; nothing is compiled or run.

Only the sections that say so are read. What a later proposal added is passed over: its types are then not known, and
nothing is refused because of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown

WASI = "wasi_snapshot_preview1"
HTTP = "wasi:http/requests"
HOST_MODULES = (WASI, HTTP)
"""Modules that a node provides itself."""

ENTRY_POINT = "_start"
"""What is called where nobody names a function."""

PAGE = 64 * 1024
"""Bytes of a page of memory."""

FUNCTION = "function"

_MAGIC = b"\0asm"
_KINDS = (FUNCTION, "table", "memory", "global", "tag")
_TYPES, _IMPORTS, _FUNCTIONS, _MEMORIES, _EXPORTS, _CODE = 1, 2, 3, 5, 7, 10
_FUNCTION_TYPE = 0x60
_TYPED_REFERENCES = (0x63, 0x64)
_MOST_BITS = 64
_LISTED = 8
"""Names that an error lists."""


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


def read_module(data: bytes, what: str) -> Module:
    """Read a module.

    Parameters
    ----------
    data
        The whole file.
    what
        What to call it in errors.

    Raises
    ------
    BadRequest
        It is not WebAssembly, is a component, or is damaged.
    """
    _check_kind(data, what)
    try:
        return _module(_Reader(data, len(_MAGIC) + 4))
    except (_Damaged, UnicodeDecodeError) as error:
        raise BadRequest(
            f"{what} is a damaged WebAssembly module: {error}", hint="copy or build it again"
        ) from None


def function_at(data: bytes, offset: int) -> int | None:
    """Return which of a module's own functions holds a byte of the file, from 0 on; None where none does."""
    reader = _Reader(data, len(_MAGIC) + 4)
    try:
        while reader.has_more:
            kind = reader.byte()
            section = reader.section()
            if kind != _CODE:
                continue
            for number in range(section.count()):
                section.bytes()
                if offset < section.at:
                    return number
    except _Damaged:
        pass
    return None


def _check_kind(data: bytes, what: str) -> None:
    if data[: len(_MAGIC)] != _MAGIC:
        if data.lstrip()[:1] == b"(" or data.lstrip()[:2] == b";;":
            raise BadRequest(
                f"{what} is the text form of WebAssembly, and nodes run the binary form",
                hint="wat2wasm FILE makes it; a %%bacalhau wasm cell takes the text itself",
            )
        raise BadRequest(
            f"{what} is not a WebAssembly module", hint="build the program for wasm32-wasip1 (WASI preview 1)"
        )
    version, layer = data[4:6], data[6:8]
    if layer == b"\1\0":
        raise BadRequest(
            f"{what} is a WebAssembly component, and nodes run core modules only",
            hint="build the program for wasm32-wasip1 (WASI preview 1), not for wasm32-wasip2",
        )
    if (version, layer) != (b"\1\0", b"\0\0"):
        raise BadRequest(f"{what} is WebAssembly of a version that nodes can't run")


class _Damaged(ValueError):
    """A module breaks off, or holds a number that can't be."""


@dataclass
class _Reader:
    data: bytes
    at: int = 0
    end: int = field(default=-1)

    def __post_init__(self) -> None:
        self.end = len(self.data) if self.end < 0 else self.end

    @property
    def has_more(self) -> bool:
        return self.at < self.end

    def byte(self) -> int:
        if not self.has_more:
            raise _Damaged("it ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """Read LEB128."""
        value = 0
        for shift in range(0, _MOST_BITS, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise _Damaged("a number in it is too large")

    def bytes(self) -> bytes:
        size = self.number()
        if size > self.end - self.at:
            raise _Damaged("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        return self.bytes().decode()

    def section(self) -> _Reader:
        size = self.number()
        if size > self.end - self.at:
            raise _Damaged("it ends too early")
        inner = _Reader(self.data, self.at, self.at + size)
        self.at += size
        return inner

    def count(self) -> int:
        """Read how many items follow; each has a byte at least."""
        count = self.number()
        if count > self.end - self.at:
            raise _Damaged("it ends too early")
        return count

    def limits(self) -> int:
        """Read the limits of a memory or a table; return the smallest size."""
        flags = self.byte()
        smallest = self.number()
        if flags & 1:
            self.number()
        if flags & 8:
            self.number()
        return smallest

    def value_type(self) -> None:
        if self.byte() in _TYPED_REFERENCES:
            self.number()


@dataclass
class _Contents:
    """What the sections before an export say of functions."""

    types: list[int] = field(default_factory=list)
    knows_types: bool = True
    functions: list[int] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    pages: int = 0

    def parameters(self, index: int) -> int | None:
        """Return how many parameters a function takes."""
        if not self.knows_types or index >= len(self.functions) or self.functions[index] >= len(self.types):
            return None
        return self.types[self.functions[index]]


def _module(reader: _Reader) -> Module:
    contents = _Contents()
    while reader.has_more:
        kind = reader.byte()
        section = reader.section()
        read = _SECTIONS.get(kind)
        if read is not None:
            read(section, contents)
    return Module(tuple(contents.imports), tuple(contents.exports), contents.pages * PAGE)


def _types(section: _Reader, contents: _Contents) -> None:
    for _ in range(section.count()):
        if section.byte() != _FUNCTION_TYPE:
            # A type of a later proposal: what it takes up is not known.
            contents.knows_types = False
            return
        counts = []
        for _side in ("parameters", "results"):
            counts.append(section.count())
            for _value in range(counts[-1]):
                section.value_type()
        contents.types.append(counts[0])


def _imports(section: _Reader, contents: _Contents) -> None:
    for _ in range(section.count()):
        module, name, kind = section.text(), section.text(), section.byte()
        if kind == _KINDS.index(FUNCTION):
            contents.functions.append(section.number())
        elif kind == _KINDS.index("table"):
            section.value_type()
            section.limits()
        elif kind == _KINDS.index("memory"):
            contents.pages += section.limits()
        elif kind == _KINDS.index("global"):
            section.value_type()
            section.byte()
        elif kind == _KINDS.index("tag"):
            section.byte()
            section.number()
        else:
            raise _Damaged("it imports something of an unknown kind")
        contents.imports.append(Import(module, name, _KINDS[kind]))


def _functions(section: _Reader, contents: _Contents) -> None:
    contents.functions += [section.number() for _ in range(section.count())]


def _memories(section: _Reader, contents: _Contents) -> None:
    contents.pages += sum(section.limits() for _ in range(section.count()))


def _exports(section: _Reader, contents: _Contents) -> None:
    for _ in range(section.count()):
        name, kind, index = section.text(), section.byte(), section.number()
        if kind >= len(_KINDS):
            raise _Damaged("it exports something of an unknown kind")
        is_function = _KINDS[kind] == FUNCTION
        contents.exports.append(
            Export(name, _KINDS[kind], contents.parameters(index) if is_function else None)
        )


_SECTIONS: dict[int, Callable[[_Reader, _Contents], None]] = {
    _TYPES: _types,
    _IMPORTS: _imports,
    _FUNCTIONS: _functions,
    _MEMORIES: _memories,
    _EXPORTS: _exports,
}

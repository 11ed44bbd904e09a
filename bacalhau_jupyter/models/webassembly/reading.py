"""Reading the file of a WebAssembly module.

Only the sections that say what it imports and exports are read. What a later proposal added is passed over: its types
are then not known, and nothing is refused because of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.webassembly.encoding import Damaged, Reader
from bacalhau_jupyter.models.webassembly.module import FUNCTION, Export, Import, Module

_MAGIC = b"\0asm"
_HEADER = len(_MAGIC) + 4
"""Bytes before the first section: the magic number, version and layer."""
PAGE = 64 * 1024
"""Bytes of a page of memory."""
_KINDS = (FUNCTION, "table", "memory", "global", "tag")
_TYPES, _IMPORTS, _FUNCTIONS, _MEMORIES, _EXPORTS, _CODE = 1, 2, 3, 5, 7, 10
_FUNCTION_TYPE = 0x60


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
        return _module(Reader(data, _HEADER))
    except (Damaged, UnicodeDecodeError) as error:
        raise BadRequest(
            f"{what} is a damaged WebAssembly module: {error}", hint="copy or build it again"
        ) from None


def function_at(data: bytes, offset: int) -> int | None:
    """Return which of a module's own functions holds a byte of the file, from 0 on; None where none does."""
    reader = Reader(data, _HEADER)
    try:
        while reader.has_more:
            kind = reader.byte()
            section = reader.section()
            if kind != _CODE:
                continue
            for number in range(section.count()):
                section.section()
                if offset < section.at:
                    return number
    except Damaged:
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


def _module(reader: Reader) -> Module:
    contents = _Contents()
    while reader.has_more:
        kind = reader.byte()
        section = reader.section()
        read = _SECTIONS.get(kind)
        if read is not None:
            read(section, contents)
    return Module(tuple(contents.imports), tuple(contents.exports), contents.pages * PAGE)


def _types(section: Reader, contents: _Contents) -> None:
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


def _imports(section: Reader, contents: _Contents) -> None:
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
            raise Damaged("it imports something of an unknown kind")
        contents.imports.append(Import(module, name, _KINDS[kind]))


def _functions(section: Reader, contents: _Contents) -> None:
    contents.functions += [section.number() for _ in range(section.count())]


def _memories(section: Reader, contents: _Contents) -> None:
    contents.pages += sum(section.limits() for _ in range(section.count()))


def _exports(section: Reader, contents: _Contents) -> None:
    for _ in range(section.count()):
        name, kind, index = section.text(), section.byte(), section.number()
        if kind >= len(_KINDS):
            raise Damaged("it exports something of an unknown kind")
        is_function = _KINDS[kind] == FUNCTION
        contents.exports.append(
            Export(name, _KINDS[kind], contents.parameters(index) if is_function else None)
        )


_SECTIONS: dict[int, Callable[[Reader, _Contents], None]] = {
    _TYPES: _types,
    _IMPORTS: _imports,
    _FUNCTIONS: _functions,
    _MEMORIES: _memories,
    _EXPORTS: _exports,
}

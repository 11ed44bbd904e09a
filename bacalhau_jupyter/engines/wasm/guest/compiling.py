"""The process that compiles one module: it confines itself, reads the module, and writes machine code and names.

No guest's code runs here. Run as ``python -I -S -c …``; it gets its instructions on standard input.
"""

from __future__ import annotations

import ctypes
import json
import marshal
import mmap
import os
import resource
import sys
from typing import TypedDict

from bacalhau_jupyter.engines.supervised.supervisor import confine, plain
from bacalhau_jupyter.engines.wasm.guest.library import TYPE_FUNC, Bytes, Failed, Library, Pointers, content

REFUSED = 3
"""Exit code for a module that wasmtime does not take; its sentence is on standard error."""
MAX_NAMES = 4_000_000
"""Bytes of names of imports and exports that are kept."""


class Instructions(TypedDict):
    """What to compile and how to be confined: `Plan` has the same words.

    Attributes
    ----------
    source, code, names, lifeline
        Open descriptors: the module, what is written, and a pipe that hangs up when the node ends (-1 where Linux sees
        to that).
    cpu_s
        Seconds of processor time.
    """

    library: str
    source: int
    code: int
    names: int
    limits: list[tuple[int, int]]
    cpu_s: int
    user: int
    landlock_abi: int
    filter: bytes
    lifeline: int


def main() -> None:
    """Compile, and end."""
    instructions: Instructions = marshal.load(sys.stdin.buffer)
    # The first limit ends this with a signal of its own, which the node can tell from other ends.
    resource.setrlimit(resource.RLIMIT_CPU, (instructions["cpu_s"], instructions["cpu_s"] + 2))
    if instructions["lifeline"] >= 0:
        plain.end_with(instructions["lifeline"])
    library = Library(instructions["library"])
    confine.give_up_rights(
        instructions["limits"],
        instructions["user"],
        instructions["landlock_abi"],
        instructions["filter"],
        plain=instructions["lifeline"] >= 0,
    )
    try:
        _compile(library, instructions)
    except Failed as error:
        os.write(2, str(error).encode(errors="replace")[:4000])
        os._exit(REFUSED)
    os._exit(0)


def _compile(library: Library, instructions: Instructions) -> None:
    source = mmap.mmap(instructions["source"], 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    module = ctypes.c_void_p()
    place = ctypes.addressof(ctypes.c_char.from_buffer(source))
    engine = library.call("wasm_engine_new")
    library.check("wasmtime_module_new", engine, place, len(source), ctypes.byref(module))
    described = _names(library, module)
    code = Bytes()
    library.check("wasmtime_module_serialize", module, ctypes.byref(code))
    names = json.dumps({**described, "size": code.size}).encode()
    if len(names) > MAX_NAMES:
        raise Failed("it has too many imports and exports")
    _write(instructions["names"], names)
    assert code.data is not None
    view = (ctypes.c_char * code.size).from_address(code.data)
    _write(instructions["code"], memoryview(view))


def _names(library: Library, module: ctypes.c_void_p) -> dict[str, object]:
    """Return what a module wants and offers: modules that it imports from, and functions with their counts of
    parameters and results.
    """
    imported, exported = Pointers(), Pointers()
    library.call("wasmtime_module_imports", module, ctypes.byref(imported))
    library.call("wasmtime_module_exports", module, ctypes.byref(exported))
    modules = (
        content(library.call("wasm_importtype_module", imported.data[index]).contents)
        for index in range(imported.size)
    )
    functions: dict[str, tuple[int, int]] = {}
    for index in range(exported.size):
        kind = library.call("wasm_exporttype_type", exported.data[index])
        if library.call("wasm_externtype_kind", kind) == TYPE_FUNC:
            function = library.call("wasm_externtype_as_functype_const", kind)
            name = content(library.call("wasm_exporttype_name", exported.data[index]).contents)
            functions[name.decode(errors="replace")] = (
                library.call("wasm_functype_params", function).contents.size,
                library.call("wasm_functype_results", function).contents.size,
            )
    names = list(dict.fromkeys(each.decode(errors="replace") for each in modules))
    return {"imports": names, "functions": functions}


def _write(target: int, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(target, rest[: 1 << 24]) :]


def limits(memory: int, size: int) -> list[tuple[int, int]]:
    """Return the limits of a compilation beside its processor time: bytes of memory, and of machine code."""
    return [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, size),
    ]

"""The text form of WebAssembly, as a cell's body: compiled here, with errors at the cell's own lines."""

from __future__ import annotations

import re

from bacalhau_jupyter.client.wasm.places import line_of_function
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.webassembly.reading import function_at

MODULE = "main.wasm"
"""The compiled module, among the files of a cell."""

SOURCE = "cell.wat"
"""The text beside it, as the person wrote it."""

_PLACE = re.compile(r"(.*?)\s*-->\s*\S*?:(\d+):(\d+)", re.DOTALL)
_OFFSET = re.compile(r"\s*\(at offset 0x([0-9a-f]+)\)")
_LONGEST = 300
_NAMES = b"\x04name"


def compiled(text: str, *, first_line: int = 1) -> bytes:
    """Compile the text form.

    Parameters
    ----------
    text
        The text.
    first_line
        Number of its first line, as the person sees it.

    Raises
    ------
    BadRequest
        The text has an error, or what compiles is not installed.
    """
    try:
        import wasmtime
    except ImportError:
        raise BadRequest(
            "compiling the text form of WebAssembly needs the package wasmtime, which is not installed here",
            hint="pip install 'bacalhau-jupyter[wasm]', or --module FILE.wasm runs a compiled module",
        ) from None
    try:
        module = bytes(wasmtime.wat2wasm(text))
    except (wasmtime.WasmtimeError, ValueError) as error:
        raise BadRequest(_sentence(str(error), first_line), hint=_hint(text)) from None
    return _with_names(module)


def title_of_text(text: str) -> str:
    """Return what a text is called: its first comment, else that it is a module."""
    if not text.strip():
        return ""
    comments = (line.strip().lstrip("; ") for line in text.splitlines() if line.strip().startswith(";;"))
    return next(filter(None, comments), "WebAssembly module")


def problem_of(module: bytes) -> str:
    """Say what is wrong inside the functions of a module; empty where nothing is, and where wasmtime is not here."""
    try:
        import wasmtime
    except ImportError:
        return ""
    try:
        wasmtime.Module.validate(wasmtime.Engine(), module)
    except wasmtime.WasmtimeError as error:
        return _cut(str(error).splitlines()[0])
    return ""


def can_look_inside() -> bool:
    """Whether `problem_of` finds anything."""
    try:
        import wasmtime  # noqa: F401
    except ImportError:
        return False
    return True


def invalid(problem: str, text: str, module: bytes, first_line: int) -> str:
    """Say in which function of a text something is wrong that only the compiled module shows.

    Parameters
    ----------
    problem
        What `problem_of` says.
    text, module
        The text, and what was compiled of it.
    first_line
        Number of the text's first line, as the person sees it.
    """
    place = _OFFSET.search(problem)
    number = function_at(module, int(place[1], 16)) if place else None
    line = line_of_function(text, number) if number is not None else 0
    if place is None or not line:
        return f"the WebAssembly text is not valid: {problem}"
    words = _OFFSET.sub("", problem)
    return f"the WebAssembly text is not valid in the function of line {line + first_line - 1}: {words}"


def _sentence(error: str, first_line: int) -> str:
    place = _PLACE.match(error)
    if place is None:
        return f"the WebAssembly text has an error: {_cut(error.splitlines()[0] if error else 'unknown')}"
    line, column = int(place[2]) + first_line - 1, int(place[3])
    return f"the WebAssembly text has an error in line {line}, column {column}: {_cut(place[1])}"


def _hint(text: str) -> str:
    if text.lstrip().startswith("("):
        return ""
    return "the body of a wasm cell is WebAssembly text: (module …)"


def _cut(text: str) -> str:
    line = readable(text.strip())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _with_names(module: bytes) -> bytes:
    """Return a module that has a section with names: official nodes load no other."""
    if _NAMES in module:
        return module
    section = _NAMES + b"\x00\x05\x04cell"
    return module + bytes([0, len(section)]) + section

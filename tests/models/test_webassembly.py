"""What a WebAssembly module says of itself, and what is not one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.webassembly.module import FUNCTION, Export, Import, Module
from bacalhau_jupyter.models.webassembly.reading import PAGE, function_at, read_module
from tests.client.wasm.samples import COMPONENT, HEAD, module
from tests.services.wasm_modules import printing


def test_a_module_tells_its_imports_exports_and_memory() -> None:
    read = read_module(printing("hi"), "it")
    wasi = "wasi_snapshot_preview1"
    assert read.imports == (Import(wasi, "fd_write", FUNCTION), Import(wasi, "proc_exit", FUNCTION))
    assert read.exports == (Export("memory", "memory"), Export("_start", FUNCTION, 0))
    assert read.memory == PAGE
    assert read.functions() == ["_start"]
    assert read_module(HEAD, "it") == Module()


@pytest.mark.parametrize(
    ("data", "sentence", "hint"),
    [
        (b"", "it is not a WebAssembly module", "wasm32-wasip1"),
        (b"\x7fELF\2\1\1\0", "it is not a WebAssembly module", "wasm32-wasip1"),
        (b" ;; text\n(module)", "it is the text form of WebAssembly", "wat2wasm"),
        (b"(module)", "it is the text form of WebAssembly", "%%bacalhau wasm"),
        (COMPONENT, "it is a WebAssembly component, and nodes run core modules only", "wasip2"),
        (b"\0asm\2\0\0\0", "of a version that nodes can't run", ""),
        (HEAD + b"\x01\xff", "it is a damaged WebAssembly module: it ends too early", "again"),
        (HEAD + b"\x01" + b"\x80" * 11, "a number in it is too large", ""),
        (HEAD + b"\x02\x06\x01\x01\xff\x01b\x00", "it is a damaged WebAssembly module", ""),
        (HEAD + b"\x02\x06\x01\x01a\x01b\x09", "it imports something of an unknown kind", ""),
        (HEAD + b"\x07\x05\x01\x01a\x09\x00", "it exports something of an unknown kind", ""),
        (HEAD + b"\x01\x05\xff\xff\xff\xff\x0f", "it ends too early", ""),
    ],
)
def test_what_is_no_module_is_told_as_what_it_is(data: bytes, sentence: str, hint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_module(data, "it")
    assert sentence in refused.value.message
    assert hint in refused.value.hint


@given(data=st.binary(max_size=60), cut=st.integers(0, 200))
def test_any_bytes_are_a_module_or_refused(data: bytes, cut: int) -> None:
    whole = module(imports=[("a", "b")], exports=[("_start", 0), ("two", 2)])
    for text in (data, HEAD + data, whole[:cut] + data + whole[cut:]):
        with contextlib.suppress(BadRequest):
            read_module(text, "it")


def test_what_can_be_called_first_has_a_name_and_no_parameters() -> None:
    read = read_module(module(exports=[("go", 0), ("add", 2)]), "it")
    assert read.entry_problem("go") == ""
    assert read.entry_problem("add") == "its function add takes parameters, and it is called without any"
    assert read.entry_problem("_start") == "it exports no function _start"
    assert read.entry_hint() == "--entry-point names another: go"
    assert "not as a library" in read_module(module(exports=[("add", 1)]), "it").entry_hint()
    memory = read_module(printing("hi"), "it").entry_problem("memory")
    assert memory == "its export memory is a memory, not a function"


def test_types_of_later_proposals_are_passed_over() -> None:
    # A type section that begins with a group of recursive types, then an export of function 0.
    unknown = HEAD + b"\x01\x03\x01\x4e\x00" + b"\x03\x02\x01\x00" + b"\x07\x05\x01\x01f\x00\x00"
    read = read_module(unknown, "it")
    assert read.exports == (Export("f", FUNCTION, None),)
    assert read.entry_problem("f") == ""


def test_a_place_in_the_file_lies_in_a_function() -> None:
    data = module(exports=[("one", 0), ("two", 0)])
    code = data.index(b"\x0a\x07\x02")
    assert function_at(data, code + 4) == 0
    assert function_at(data, code + 7) == 1
    assert function_at(data, len(data)) is None
    assert function_at(data[: code + 4], code + 4) is None


def test_imports_of_every_kind_are_read() -> None:
    # function, table of a typed reference with a limit, memory with both limits, global, tag
    items = b"\x00\x00", b"\x01\x63\x00\x01\x01\x02", b"\x02\x01\x01\x02", b"\x03\x7f\x00", b"\x04\x00\x00"
    body = bytes([len(items)]) + b"".join(b"\x01m\x01n" + item for item in items)
    read = read_module(HEAD + b"\x02" + bytes([len(body)]) + body, "it")
    assert [item.kind for item in read.imports] == ["function", "table", "memory", "global", "tag"]
    assert read.memory == PAGE

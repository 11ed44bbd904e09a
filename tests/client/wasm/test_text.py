"""WebAssembly text: compiled here, with errors where the person sees them."""

from __future__ import annotations

import sys

import pytest

from bacalhau_jupyter.client.wasm.building import CELL_PLACE, of_text
from bacalhau_jupyter.client.wasm.places import line_of_function
from bacalhau_jupyter.client.wasm.text import compiled, title_of_text
from bacalhau_jupyter.models.errors import BadRequest
from tests.client.wasm.samples import HELLO, LIBRARY

wasmtime = pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")


def test_a_text_becomes_a_module_that_official_nodes_load_too() -> None:
    data = compiled(LIBRARY)
    wasmtime.Module.validate(wasmtime.Engine(), data)
    # They want a section with names; a text that names its functions has one.
    assert b"\x04name\x00\x05\x04cell" in data
    assert compiled('(module (func $f (export "f")))').count(b"\x04name") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("(module\n  (func\n    i32.cons 1))", "in line 4, column 5: unknown operator or unexpected token"),
        ("\n\n(modul)", "in line 4, column 2: expected valid module field"),
        ("(module (func call $b))", "in line 2, column 20: unknown func: failed to find name `$b`"),
        ("print(1)", "in line 2, column 1: expected `(`"),
        (
            "(module\n(func)\n(func (result i32)))",
            "is not valid in the function of line 4: type mismatch: expected i32",
        ),
        ("(component)", "the cell's module is a WebAssembly component"),
        ("(" * 5000, "in line 2, column 2"),
        ("(module)\0", "unexpected character"),
        ("(module (func $\x1b[31m))", ""),
    ],
)
def test_an_error_names_line_and_column_of_the_cell(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as refused:
        of_text(text, first_line=2)
    assert sentence in refused.value.message
    assert len(refused.value.message) < 500
    assert "\x1b" not in refused.value.message


def test_a_body_that_is_no_text_form_is_told_what_it_should_be() -> None:
    with pytest.raises(BadRequest) as refused:
        compiled("print(1)")
    assert "(module …)" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("(module)", "WebAssembly module"),
        ("\n  ;; \n;; counts primes\n(module)", "counts primes"),
        ("(module\n  ;; adds\n)", "adds"),
        ("\n", ""),
    ],
)
def test_a_text_is_called_by_its_first_comment(text: str, title: str) -> None:
    assert title_of_text(text) == title


@pytest.mark.parametrize(
    ("text", "number", "line"),
    [
        ("(module (func))", 0, 1),
        ("(module\n(func)\n(func))", 1, 3),
        ("(func)\n(func)", 1, 2),
        # Types, imports, references, comments and strings are no functions.
        ('(module\n(type (func))\n(import "a" "(func)" (func))\n(func (export "f"))\n)', 0, 4),
        ('(module\n(func $i (import "a" "b"))\n(func))', 0, 3),
        ("(module ;; (func)\n(; (func) (; ;) (func) ;)\n( func (block))\n(elem func 0)\n(func))", 1, 5),
        ("(module)", 0, 0),
        ("(; open", 0, 0),
    ],
)
def test_the_line_of_a_function_is_found(text: str, number: int, line: int) -> None:
    assert line_of_function(text, number) == line


def test_the_text_travels_beside_the_module() -> None:
    placed = of_text(HELLO)
    assert placed.target == f"{CELL_PLACE}/main.wasm"
    assert placed.source is not None
    assert placed.source.target == CELL_PLACE
    assert placed.module is not None
    assert placed.module.functions() == ["_start"]


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    with pytest.raises(BadRequest, match="needs the package wasmtime") as refused:
        compiled(HELLO)
    assert "pip install 'bacalhau-jupyter[wasm]'" in refused.value.hint

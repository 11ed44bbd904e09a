"""The last word of a program: what the exception of its cell says."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.notebook.errors import last_word

TRACE = 'Traceback (most recent call last):\n  File "cell.py", line 3, in <module>\n    1 / 0\n'


@pytest.mark.parametrize(
    ("stderr", "word", "hint"),
    [
        ("", "", ""),
        ("warning\nthe disk is on fire\n", "the disk is on fire", ""),
        (TRACE + "ZeroDivisionError: division by zero\n", "ZeroDivisionError: division by zero", ""),
        (TRACE + "ValueError: two\nlines\n", "ValueError: two", ""),
        (TRACE + "KeyError: 1\n\nDuring handling …:\n\n" + TRACE + "OSError: 2\n", "OSError: 2", ""),
        (TRACE + "ModuleNotFoundError: x\nHint: use --pip x\n", "ModuleNotFoundError: x", "use --pip x"),
        (TRACE + "Hint: use --pip x\nModuleNotFoundError: x\n", "ModuleNotFoundError: x", "use --pip x"),
        ("\x1b[31mred\x1b[0m\n\n", "red", ""),
        ("\u202eevil\n", "\\u202eevil", ""),
    ],
)
def test_the_last_word_is_the_line_that_says_what_happened(stderr: str, word: str, hint: str) -> None:
    assert last_word(stderr) == (word, hint)


def test_an_endless_last_line_is_cut() -> None:
    assert len(last_word("x" * 1_000_000)[0]) < 400

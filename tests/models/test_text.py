from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.text import is_readable, readable, typed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("größe ✓ 日本語 שלום 🙂", "größe ✓ 日本語 שלום 🙂"),
        ("invoice\u202egnp.exe", "invoice\\u202egnp.exe"),
        ("\u2066a\u2069\u061c\u200e\u200f", "\\u2066a\\u2069\\u061c\\u200e\\u200f"),
        ("a\u200bb\u2060\ufeff", "a\\u200bb\\u2060\\ufeff"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("a\nb\tc\rd\u2028e", "a\\nb\\tc\\rd\\u2028e"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_can_not_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert readable(text) == shown
    assert is_readable(text) is (text == shown)


def test_a_message_keeps_its_lines() -> None:
    assert readable("a\n\tb\r\x1b[1m", lines=True) == "a\n\tb\\r\\x1b[1m"


@given(st.text())
def test_what_is_shown_is_one_line_that_any_terminal_and_any_json_can_carry(text: str) -> None:
    shown = readable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert readable(shown) == shown


def test_commands_get_the_name_of_the_program_and_cells_keep_theirs() -> None:
    sentence = "%bacalhau job list, or a %%bacalhau wasm cell; (%bacalhau attach j-1)"
    assert typed(sentence, "b") == "b job list, or a %%bacalhau wasm cell; (b attach j-1)"

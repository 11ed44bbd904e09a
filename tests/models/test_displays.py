"""Displays are skipped by everyone but a notebook."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.records.displays import DisplayFilter, without_displays

LOG = "a\x1b_bacalhau;hello;00\x1b\\b\x1b_bacalhau;00;1.0;2;eyJ9\x1b\\1\n\x1b[31mred\x1b[0m end"
TEXT = "ab1\n\x1b[31mred\x1b[0m end"


def test_the_plain_text_of_displays_stays() -> None:
    assert without_displays(LOG) == TEXT


@pytest.mark.parametrize("size", range(1, len(LOG) + 1))
def test_a_filter_gives_the_same_wherever_chunks_are_cut(size: int) -> None:
    displays = DisplayFilter()
    shown = "".join(displays.feed(LOG[start : start + size]) for start in range(0, len(LOG), size))
    assert shown + displays.finish() == TEXT


def test_a_frame_that_was_cut_off_goes() -> None:
    for end in range(LOG.index("b\x1b") + 1 + len("\x1b_bacalhau;"), LOG.index("1\n")):
        assert without_displays(LOG[:end]) == "ab"


def test_what_only_begins_like_a_display_is_text() -> None:
    text = "\x1b_bacalhau;" + "x" * 5000 + "\x1b["
    displays = DisplayFilter()
    assert displays.feed(text) + displays.feed("y") + displays.finish() == text + "y"

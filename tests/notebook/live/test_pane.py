"""A job's output in a cell: folded, bounded, and lines that redraw themselves."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.notebook.live.pane import (
    HEAD_BYTES,
    HEAD_LINES,
    TAIL_BYTES,
    TAIL_LINES,
    OutputPane,
    Streams,
)

JOB = "j-00000000-0000-4000-8000-000000000000"


class Time:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pane_of(out: io.StringIO, err: io.StringIO | None = None, clock: Time | None = None) -> OutputPane:
    return OutputPane(Streams(out, err or out), clock=clock or Time())


def screen(text: str) -> list[str]:
    """Return what a terminal shows: a carriage return goes back to the start of the line."""
    lines = []
    for line in text.split("\n"):
        seen = ""
        for part in line.split("\r"):
            seen = part + seen[len(part) :]
        lines.append(seen)
    return lines


NO_REDRAW = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=50)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), NO_REDRAW), max_size=40))
def test_output_that_fits_is_shown_as_it_came(chunks: list[tuple[int, str]]) -> None:
    out, err = io.StringIO(newline=""), io.StringIO(newline="")
    pane = pane_of(out, err)
    for stream, text in chunks:
        pane.write(stream, text)
    pane.finish(JOB)
    assert out.getvalue() == "".join(text for stream, text in chunks if stream == 1)
    assert err.getvalue() == "".join(text for stream, text in chunks if stream == 2)


@given(st.lists(st.tuples(st.text("ab\r\n", max_size=8), st.floats(0, 0.2)), max_size=30))
def test_redraws_end_up_as_a_terminal_shows_them(chunks: list[tuple[str, float]]) -> None:
    out, clock = io.StringIO(newline=""), Time()
    pane = pane_of(out, clock=clock)
    for text, pause in chunks:
        clock.now += pause
        pane.write(1, text)
        pane.tick()
    pane.finish(JOB)
    assert screen(out.getvalue()) == screen("".join(text for text, _ in chunks))


def test_a_progress_bar_of_a_day_costs_little_and_never_stands_still() -> None:
    out, clock = io.StringIO(newline=""), Time()
    pane = pane_of(out, clock=clock)
    pictures = []
    for step in range(86_400):
        clock.now += 1
        pane.write(1, f"\r{step / 864:5.1f} %|{'█' * (step // 1728)}| {step}/86400")
        pictures.append(out.getvalue().count("\r"))
    pane.write(1, "\n")
    pane.finish(JOB)
    assert len(out.getvalue().encode()) < 300_000
    assert not pane.is_folded
    # In the last hours there is a new picture at least every eight minutes.
    assert all(after > before for before, after in zip(pictures[::480], pictures[480::480], strict=False))
    assert screen(out.getvalue())[0].endswith("86399/86400")


def test_a_bar_on_one_stream_is_complete_before_the_other_goes_on() -> None:
    out, clock = io.StringIO(newline=""), Time()
    pane = pane_of(out, clock=clock)
    pane.write(2, "\r 10%")
    pane.write(2, "\r 20%")
    pane.write(1, "hello\n")
    assert out.getvalue() == "\r 10%\r 20%hello\n"


def test_long_output_keeps_head_and_tail_and_says_where_the_rest_is() -> None:
    out = io.StringIO()
    pane = pane_of(out)
    for number in range(5_000):
        pane.write(1, f"line {number}\n")
    assert (pane.lines, pane.is_folded) == (5_000, True)
    pane.finish(JOB)
    lines = out.getvalue().splitlines()
    assert lines[:HEAD_LINES] == [f"line {number}" for number in range(HEAD_LINES)]
    assert lines[-TAIL_LINES:] == [f"line {number}" for number in range(5_000 - TAIL_LINES, 5_000)]
    left = 5_000 - HEAD_LINES - TAIL_LINES
    assert f"{left:,} of 5,000 lines left out" in lines[HEAD_LINES + 1]
    assert "bacalhau-jupyter job logs j-00000000 > log.txt" in lines[HEAD_LINES + 1]
    assert len(lines) == HEAD_LINES + TAIL_LINES + 2


def test_a_few_hundred_lines_are_folded_to_a_few_screens() -> None:
    out = io.StringIO()
    pane = pane_of(out)
    for number in range(600):
        pane.write(1, f"line {number}\n")
    pane.finish(JOB)
    lines = out.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ("line 0", "line 599")
    assert len(lines) <= 202


def test_a_progress_bar_that_counts_to_a_thousand_is_one_line_and_stays_whole() -> None:
    out, clock = io.StringIO(newline=""), Time()
    pane = pane_of(out, clock=clock)
    for step in range(1_001):
        clock.now += 0.2
        pane.write(2, f"\r{step:4d}/1000 {'#' * (step // 20)}")
    pane.write(2, "\n")
    pane.finish(JOB)
    assert not pane.is_folded
    assert screen(out.getvalue())[0] == f"1000/1000 {'#' * 50}"


def test_a_line_without_end_is_cut_and_counted_in_characters() -> None:
    out = io.StringIO()
    pane = pane_of(out)
    for _ in range(100):
        pane.write(1, "x" * 100_000)
    pane.finish(JOB)
    assert len(out.getvalue()) < HEAD_BYTES + TAIL_BYTES + 1_000
    assert f"{pane.dropped:,} characters left out" in out.getvalue()


def test_the_limit_is_counted_in_bytes_of_the_file() -> None:
    out = io.StringIO()
    pane = pane_of(out)
    for _ in range(400):
        pane.write(1, "日本\x1b[31m" * 500)
    pane.finish(JOB)
    assert len(json.dumps(out.getvalue(), ensure_ascii=False).encode()) < 1_000_000
    assert out.getvalue().startswith("日本\x1b[31m日本")
    assert "characters left out" in out.getvalue()


def test_a_display_comes_behind_what_was_printed_before_it() -> None:
    seen: list[str] = []

    class Cell:
        def write(self, stream: int, text: str) -> None:
            seen.append(text)

        def display(self, data: Any, metadata: Any, display_id: str, update: bool) -> None:
            seen.append("display")

    clock = Time()
    pane = OutputPane(Cell(), clock=clock)
    pane.write(1, "\r 1%")
    pane.write(1, "\r 2%")
    pane.display({"text/plain": "figure"}, {}, "d", False)
    pane.write(1, "after\n")
    assert seen == ["\r 1%", "\r 2%", "display", "after\n"]


def test_the_end_of_stderr_is_remembered() -> None:
    pane = pane_of(io.StringIO())
    pane.write(2, "x" * 100_000)
    pane.write(1, "out")
    pane.write(2, "the end")
    assert pane.stderr.endswith("xthe end")
    assert len(pane.stderr) < 10_000

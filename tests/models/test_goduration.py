"""Go durations, in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.jobs.goduration import format_go_duration, parse_go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (60, "1m0s"),
        (3600, "1h0m0s"),
        (86400, "24h0m0s"),
        (1.5, "1.5s"),
        (0.25, "250ms"),
        (15, "15s"),
        (-3, "-3s"),
        (0.0000015, "1.5µs"),
        (1e-9, "1ns"),
        (5400.25, "1h30m0.25s"),
        (300, "5m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_go_duration(seconds) == text
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2h45m", 9900), ("100ms", 0.1), (".5s", 0.5), ("1.s", 1), ("+1m", 60), ("1us", 1e-6)],
)
def test_other_spellings_are_read(text: str, seconds: float) -> None:
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "s", "1m 5s", "--1s", "1s5", "nan", "999999999h"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_go_duration(text)


@given(st.integers(-(10**12), 10**12))
def test_whole_milliseconds_survive_the_round_trip(milliseconds: int) -> None:
    assert parse_go_duration(format_go_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)

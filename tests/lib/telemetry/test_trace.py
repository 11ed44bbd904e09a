"""What a ``traceparent`` says, and the IDs that follow from identifiers."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.telemetry.base import SILENT, spanning
from bacalhau_jupyter.lib.telemetry.trace import CURRENT, Link, read_link

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_read_and_written_again() -> None:
    link = read_link(f" {GOOD}\n")
    assert link == Link(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert link.header == GOOD


def test_a_trace_that_nobody_samples_stays_that_way() -> None:
    link = read_link(GOOD[:-2] + "00")
    assert link is not None
    assert not link.sampled
    assert link.next().header.endswith("-00")


def test_a_later_version_may_say_more() -> None:
    assert read_link(GOOD.replace("00-", "cc-", 1) + "-more") == read_link(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GOOD.upper(),
        GOOD + "-more",
        GOOD.replace("00-", "ff-", 1),
        GOOD[:-1],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        GOOD + "\nX-Evil: 1",
        "x" * 10_000,
    ],
)
def test_what_is_no_traceparent_says_nothing(text: str) -> None:
    assert read_link(text) is None


def test_the_span_of_an_identifier_is_the_same_after_a_restart() -> None:
    link = Link(5, 7)
    assert link.part("e-1") == Link(5, 7).part("e-1")
    assert link.part("e-1") != link.part("e-2")
    assert link.part("e-1").trace_id == 5


def test_where_nobody_listens_the_callers_span_is_passed_on() -> None:
    caller = read_link(GOOD)
    with spanning(SILENT, "request", parent=caller):
        assert CURRENT.get() == caller
    assert CURRENT.get() is None

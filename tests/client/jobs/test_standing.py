"""How many jobs stand that belong together, in words."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.client.jobs import standing
from bacalhau_jupyter.client.jobs.standing import LineView, Standing, Standings, counts_text
from bacalhau_jupyter.models.records.outcome import Outcome

OUTCOMES = st.lists(st.sampled_from(Outcome), max_size=60)


def of(*outcomes: Outcome) -> Standings:
    return Standings("combinations", "g", "http://a", [Standing(str(one), outcome=one) for one in outcomes])


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "0 of 0 jobs done"),
        ({Outcome.WAITING: 3}, "0 of 3 jobs done, 3 waiting"),
        (
            {Outcome.SUCCEEDED: 6, Outcome.FAILED: 1, Outcome.RUNNING: 2, Outcome.WAITING: 3},
            "7 of 12 jobs done, 1 failed, 2 running, 3 waiting",
        ),
        ({Outcome.STOPPED: 1, Outcome.SUCCEEDED: 1}, "2 of 2 jobs done, 1 stopped"),
        ({Outcome.SUCCEEDED: 4000}, "4,000 of 4,000 jobs done"),
    ],
)
def test_counts_are_written_for_people(counts: dict[Outcome, int], text: str) -> None:
    assert counts_text(Counter(counts), "jobs") == text


@given(OUTCOMES)
def test_done_running_and_waiting_are_all_jobs(outcomes: list[Outcome]) -> None:
    text = of(*outcomes).text
    numbers = {
        word: int(number) for number, word in re.findall(r"(\d+) (failed|stopped|running|waiting)", text)
    }
    done, total = map(int, re.findall(r"(\d+) of (\d+)", text)[0])
    assert total == len(outcomes)
    assert done + numbers.get("running", 0) + numbers.get("waiting", 0) == total
    assert numbers.get("failed", 0) + numbers.get("stopped", 0) <= done
    assert done == len([one for one in of(*outcomes).each if one.is_over])


@given(st.lists(OUTCOMES, max_size=10))
def test_a_line_is_written_only_when_the_counts_changed(steps: list[list[Outcome]]) -> None:
    written: list[str] = []

    class Kept:
        def show(self, text: str) -> None:
            written.append(text)

    view = LineView(Kept())
    for outcomes in steps:
        view.show(of(*outcomes))
    assert all(one != other for one, other in itertools.pairwise(written))
    assert not steps or written[-1] == of(*steps[-1]).text


def test_the_first_view_that_fits_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "_makers", [])
    own = standing.NoView()
    standing.offer_view(lambda: None)
    standing.offer_view(lambda: own)
    assert standing.find_view() is own

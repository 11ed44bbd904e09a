"""The card of many jobs: its record, its static forms, how often it is sent, and what is noted of its jobs."""

from __future__ import annotations

import html
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.client.jobs.standing import Standing, Standings
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submissions
from bacalhau_jupyter.models.records.outcome import Outcome
from bacalhau_jupyter.notebook.live.many_card import MIME, bundle_of, record_of, shown_first
from bacalhau_jupyter.notebook.live.many_view import ManyView
from bacalhau_jupyter.notebook.origin import CellOrigin

STANDING = st.builds(
    Standing,
    label=st.text(max_size=8),
    job_id=st.sampled_from(["", "j-1", "j-2"]),
    outcome=st.sampled_from(Outcome),
    exit_code=st.none() | st.integers(-1, 255),
    duration_s=st.none() | st.floats(0, 1e6),
    error=st.text(max_size=8),
)


def of(*each: Standing) -> Standings:
    return Standings("combinations", "abc", "http://a", each)


@given(st.lists(STANDING, max_size=60))
def test_a_record_is_json_with_a_job_for_each_combination(each: list[Standing]) -> None:
    record = json.loads(json.dumps(record_of(of(*each))))
    assert [job["label"] for job in record["jobs"]] == [one.label for one in each]
    assert [job.get("outcome", "waiting") for job in record["jobs"]] == [one.outcome for one in each]
    assert (record["group"], record["what"], record["version"]) == ("abc", "combinations", 1)


@given(st.lists(STANDING, max_size=60))
def test_the_static_forms_show_failures_first_and_say_how_many_more_there_are(each: list[Standing]) -> None:
    shown = shown_first(each)
    assert len(shown) == min(20, len(each))
    failed = [one for one in each if one.outcome is Outcome.FAILED]
    assert len([one for one in shown if one.outcome is Outcome.FAILED]) == min(20, len(failed))
    text = bundle_of(of(*each))["text/plain"]
    assert text.startswith(of(*each).text)
    assert (f"and {len(each) - 20} more" in text) == (len(each) > 20)


def test_what_a_job_says_is_text_in_the_static_forms() -> None:
    attack = "<img src=x onerror=alert(1)>\u202e"
    bundle = bundle_of(of(Standing(attack, "j-1", Outcome.FAILED, 1, 2.0, attack)))
    assert "<img" not in bundle["text/html"]
    assert html.escape("<img src=x onerror=alert(1)>") in bundle["text/html"]
    assert "\u202e" not in bundle["text/html"] + bundle["text/plain"]


def test_a_record_stays_small_when_thousands_fail_alike() -> None:
    each = [Standing(f"n={n}", f"j-{n}", Outcome.FAILED, 1, 1.0, "x" * 5000) for n in range(5000)]
    assert len(json.dumps(record_of(of(*each)))) < 1_000_000


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellOrigin:
    """The origin of a cell in a notebook."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "n.ipynb"))
    parent = {"header": {"msg_id": "m"}, "metadata": {"cellId": "cell-1"}}
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent, parent=None))
    return CellOrigin(shell, Repo(tmp_path / "repo"))


class Shown:
    """Collects what is published."""

    def __init__(self) -> None:
        self.all: list[tuple[dict[str, Any], str, bool]] = []

    def __call__(self, bundle: dict[str, Any], display_id: str, update: bool) -> None:
        self.all.append((bundle, display_id, update))

    @property
    def texts(self) -> list[str]:
        return [bundle["text/plain"].partition("\n")[0] for bundle, _, _ in self.all]


def test_one_output_changes_in_place_and_not_too_often(origin: CellOrigin) -> None:
    shown, now = Shown(), [0.0]
    view = ManyView(origin, shown, lambda: now[0])
    view.open(["n=1"], "combinations", "preparing the jobs")
    running, done = of(Standing("n=1", "j-1", Outcome.RUNNING)), of(Standing("n=1", "j-1", Outcome.SUCCEEDED))
    view.show(running)
    now[0] = 1.0
    view.show(running)
    now[0] = 2.0
    view.show(running)
    view.finish(done)
    assert shown.texts == [
        "preparing the jobs",
        "0 of 1 combinations done, 1 running",
        "1 of 1 combinations done",
    ]
    assert len({display_id for _, display_id, _ in shown.all}) == 1
    assert [update for _, _, update in shown.all] == [False, True, True]


def test_large_groups_are_sent_more_rarely(origin: CellOrigin) -> None:
    shown, now = Shown(), [0.0]
    view = ManyView(origin, shown, lambda: now[0])
    for step in range(20):
        now[0] = step / 4
        view.show(
            of(*[Standing(f"{n}", "", Outcome.RUNNING if n < step else Outcome.WAITING) for n in range(8000)])
        )
    assert len(shown.all) == 3


def test_each_job_is_noted_once_with_what_distinguishes_it(origin: CellOrigin) -> None:
    view = ManyView(origin, Shown(), lambda: 0.0)
    view.show(of(Standing("n=1", "j-1"), Standing("n=2")))
    view.show(of(Standing("n=1", "j-1"), Standing("n=2", "j-2")))
    view.finish(of(Standing("n=1", "j-1"), Standing("n=2", "j-2")))
    noted = Submissions(origin.repo).every()
    assert [(one.job_id, one.group, one.what, one.label, one.cell, one.run) for one in noted] == [
        ("j-1", "abc", "combinations", "n=1", "cell-1", "m"),
        ("j-2", "abc", "combinations", "n=2", "cell-1", "m"),
    ]


@pytest.mark.parametrize(
    ("has_jobs", "text"), [(False, "not submitted"), (True, "0 of 1 combinations done, 1 running")]
)
def test_giving_up_says_so_only_where_there_are_no_jobs(
    origin: CellOrigin, has_jobs: bool, text: str
) -> None:
    shown = Shown()
    view = ManyView(origin, shown, iter(range(100)).__next__)
    view.open(["n=1"], "combinations", "preparing the jobs")
    if has_jobs:
        view.show(of(Standing("n=1", "j-1", Outcome.RUNNING)))
    view.give_up("not submitted")
    assert shown.texts[-1] == text
    assert MIME in shown.all[-1][0]

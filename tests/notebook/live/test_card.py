"""Phases in people's words, and the card that shows them."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.notebook.live.card import MIME, Card, Status
from bacalhau_jupyter.notebook.live.phases import phase_of

UUID = "761f5690-d9cb-416a-be49-a0a336e0a202"


def test_the_card_follows_the_events() -> None:
    status = Status("j-1", "http://127.0.0.1:1234")
    seen = []
    for event in (
        StreamEvent(topic="Submission", message="Job submitted", state="Pending"),
        StreamEvent(
            topic="Scheduling",
            message="Requested execution on n-1",
            execution="e-1",
            node="n-1",
            state="Pending",
        ),
        StreamEvent(
            topic="Progress",
            details={"Phase": "pulling image", "Done": "450", "Total": "1000"},
            state="Pending",
        ),
        StreamEvent(topic="Execution", message="Running", execution="e-1", state="Running"),
    ):
        status.saw(event)
        seen.append(status.phase)
    assert seen == ["submitting", "asking for bids", "pulling image 450 B/1.0 kB (45 %)", "running"]
    assert "running 00:00 · on n-1" in status.line()


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"Phase": "starting", "Done": "0"}, "starting"),
        ({"Phase": "publishing", "Done": "300000000"}, "publishing 300 MB"),
        ({"Phase": "publishing", "Done": "300000000", "Files": "12"}, "publishing 300 MB, 12 files"),
        (
            {"Phase": "fetching inputs", "Done": "1200000000", "Total": "3400000000"}
            | {"Files": "120", "TotalFiles": "400"},
            "fetching inputs 1.2/3.4 GB (35 %), 120/400 files",
        ),
        (
            {"Phase": "fetching inputs", "Done": "999", "Total": "1500000", "Files": "0", "TotalFiles": "1"},
            "fetching inputs 999 B/1.5 MB (0 %)",
        ),
        (
            {"Phase": "fetching inputs", "Done": "5000", "Total": "5000", "Note": "5 kB from the cache"},
            "fetching inputs 5.0/5.0 kB (100 %), 5 kB from the cache",
        ),
        ({"Phase": "fetching inputs", "Done": "-", "Files": "many", "Total": "²"}, "fetching inputs"),
    ],
)
def test_progress_is_told_in_bytes_and_files_as_far_as_they_are_known(
    details: dict[str, str], words: str
) -> None:
    assert phase_of(StreamEvent(topic="Progress", details=details)) == words


def test_what_is_done_on_a_docker_host_is_told_with_its_name() -> None:
    host = f"n-{UUID}-gpu1"
    status = Status("j-1", "http://127.0.0.1:1")
    details = {"Phase": "copying image", "Done": "120000000", "Total": "253000000"}
    status.saw(StreamEvent(topic="Progress", node=host, details=details, state="Pending"))
    assert status.line().endswith(" · on gpu1 (copying image 120/253 MB)")
    status.saw(StreamEvent(topic="Execution", message="Running", node=host, state="Running"))
    assert status.line().endswith(" · running 00:00 · on gpu1")
    status.saw(StreamEvent(topic="Execution", message="stopped", node=host, state="Stopped"))
    status.phase = "stopped"
    assert status.line().endswith(" · stopped · on gpu1")


def test_a_queued_job_says_why() -> None:
    event = StreamEvent(
        topic="Queueing", message="Job queued. not enough nodes to run job. requested: 1\n• Node n: busy"
    )
    assert phase_of(event) == "queued: not enough nodes to run job. requested: 1"


def test_the_bundle_is_a_record_with_static_forms_and_no_live_html() -> None:
    status = Status("j-1", "http://127.0.0.1:1234", phase="<script>alert(1)</script>")
    bundle = status.bundle(status.line())
    assert bundle[MIME]["job_id"] == "j-1"
    assert bundle[MIME]["endpoint"] == "http://127.0.0.1:1234"
    assert "<script>" not in bundle["text/html"]
    assert "job j-1" in bundle["text/plain"]


Shown = list[tuple[dict[str, Any], str, bool]]


def shown_by(status: Status, *, is_live: bool = True) -> tuple[Card, Shown]:
    """Return a card, and the list of what it publishes."""
    published: Shown = []
    return Card(status, lambda *shown: published.append(shown), is_live=is_live), published


def test_a_card_is_there_before_its_job_and_stays_one_output() -> None:
    status = Status()
    card, published = shown_by(status)
    card.open()
    card.say("starting the node")
    status.job_id = "j-1"
    card.say("submitted")
    card.finish("job j-1 · completed")
    assert [bundle["text/plain"] for bundle, _, _ in published] == [
        "submitting",
        "starting the node",
        "job j-1 · submitted",
        "job j-1 · completed",
    ]
    assert [update for _, _, update in published] == [False, True, True, True]
    assert len({display_id for _, display_id, _ in published}) == 1
    assert published[0][0][MIME]["job_id"] == ""


def test_a_card_that_did_not_change_is_not_published_again() -> None:
    card, published = shown_by(Status("j-1", phase="queued: busy"))
    card.open()
    for _ in range(5):
        card._last = float("-inf")
        card.tick()
    assert len(published) == 1


def test_a_plain_terminal_gets_only_the_last_line() -> None:
    card, published = shown_by(Status("j-1"), is_live=False)
    card.open()
    card.tick()
    card.finish("job j-1 · completed")
    assert [bundle["text/plain"] for bundle, _, _ in published] == ["job j-1 · completed"]


def test_an_exit_code_is_a_failure_in_static_html_whatever_the_state_is_called() -> None:
    status = Status("j-1", state="Completed", exit_code=3)
    bundle = status.bundle("job j-1 · ✕ exit 3 · completed")
    assert '<span style="color:red">✕</span>' in bundle["text/html"]
    assert '<b style="color:red">exit 3</b>' in bundle["text/html"]
    assert bundle[MIME]["exit_code"] == 3
    assert Status("j-1", state="Completed", exit_code=0).bundle("x")["text/html"].count("green") == 1


def test_the_bundle_holds_no_widget() -> None:
    assert set(Status("j-1").bundle("x")) == {MIME, "text/html", "text/plain"}


def queued(message: str = "Job queued. not enough nodes to run job.\n• Node n-1: node busy") -> StreamEvent:
    return StreamEvent(topic="Queueing", message=message, state="Queued")


def test_the_reason_takes_the_place_of_the_official_words_while_the_job_is_queued() -> None:
    status = Status("j-1")
    status.saw(queued())
    assert status.shown_phase == "queued: not enough nodes to run job."
    status.reason = "waiting for 1 CPU; `hog2` holds it, node has 2"
    assert status.line() == "job j-1 · waiting for 1 CPU; `hog2` holds it, node has 2"
    assert status.bundle(status.line())[MIME]["phase"] == status.reason
    status.saw(StreamEvent(topic="Progress", details={"Phase": "pulling image"}, state="Queued"))
    assert status.line() == "job j-1 · pulling image"
    status.saw(StreamEvent(topic="Execution", message="Running", execution="e-1", state="Running"))
    assert status.shown_phase == "running"


def test_a_job_that_is_stopped_while_it_waits_says_so() -> None:
    status = Status("j-1")
    status.saw(queued())
    status.reason = "waiting for 1 CPU"
    status.phase = "stopped"
    assert status.line() == "job j-1 · stopped"

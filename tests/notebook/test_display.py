"""State lines and bounded output."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.history import StreamEvent
from bacalhau_jupyter.notebook.display import HEAD_BYTES, MIME, TAIL_BYTES, OutputPane, Status, phase_of


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.text(max_size=50)), max_size=40))
def test_output_that_fits_is_shown_as_it_came(chunks: list[tuple[int, str]]) -> None:
    out, err = io.StringIO(), io.StringIO()
    pane = OutputPane(out, err)
    for stream, text in chunks:
        pane.write(stream, text)
    pane.finish("j-1")
    assert out.getvalue() == "".join(text for stream, text in chunks if stream == 1)
    assert err.getvalue() == "".join(text for stream, text in chunks if stream == 2)


def test_long_output_keeps_head_and_tail_and_says_where_the_rest_is() -> None:
    out = io.StringIO()
    pane = OutputPane(out, out)
    for number in range(200_000):
        pane.write(1, f"line {number}\n")
    pane.finish("j-00000000-0000-4000-8000-000000000000")
    text = out.getvalue()
    assert len(text) < HEAD_BYTES + TAIL_BYTES + 1000
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 199999\n")
    assert f"{pane.dropped:,} characters left out; %bacalhau job logs j-00000000" in text


def test_the_state_line_follows_the_events() -> None:
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
    assert seen == ["submitted", "asking for bids", "pulling image 450 B/1.0 kB (45 %)", "running"]
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


def test_the_limit_is_counted_in_bytes_of_the_file() -> None:
    out, err = io.StringIO(), io.StringIO()
    pane = OutputPane(out, err)
    for _ in range(400):
        pane.write(1, "日本\x1b[31m" * 500)
    pane.finish("j-1")
    assert len(json.dumps(out.getvalue(), ensure_ascii=False).encode()) < 1_000_000
    assert out.getvalue().startswith("日本\x1b[31m日本")
    assert "characters left out" in out.getvalue()

"""The record of many jobs that belong together (a sweep, a map): what their one card shows, and its static forms."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from bacalhau_jupyter.client.jobs.standing import Standing, Standings
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.records.outcome import Outcome
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.live.rows import SHOWN, Row, html_rows, text_rows

MIME = "application/vnd.bacalhau.jobs+json"

LABEL_CHARACTERS = 200
_ERROR_CHARACTERS = 300
_ERRORS = 100
"""Jobs whose error is in the record: many jobs often fail with the same one."""


def record_of(standings: Standings, phase: str = "") -> dict[str, Any]:
    """Return the record that our renderer shows.

    Parameters
    ----------
    standings
        How the jobs stand.
    phase
        What goes on while there are no jobs yet; empty later.
    """
    jobs: list[dict[str, Any]] = []
    errors_left = _ERRORS
    for one in standings.each:
        error = one.error if errors_left > 0 else ""
        errors_left -= bool(error)
        # Only what says something: a notebook keeps it for each of maybe thousands of jobs.
        said = {
            "job_id": one.job_id,
            "outcome": one.outcome.value if one.outcome is not Outcome.WAITING else "",
            "exit_code": one.exit_code,
            "duration_s": None if one.duration_s is None else round(one.duration_s, 3),
            "error": error[:_ERROR_CHARACTERS],
            "cached": one.is_cached or None,
        }
        kept = {name: value for name, value in said.items() if value not in ("", None)}
        jobs.append({"label": one.label[:LABEL_CHARACTERS], **kept})
    return {
        "version": 1,
        "group": standings.group,
        "what": standings.what,
        "endpoint": standings.endpoint,
        "phase": phase,
        "jobs": jobs,
    }


def bundle_of(standings: Standings, phase: str = "") -> dict[str, Any]:
    """Return the MIME bundle: the record, and static forms for every other front end."""
    line = phase or standings.text
    rows = [] if phase else [_cells(one) for one in shown_first(standings.each)]
    more = len(standings.each) - len(rows) if rows else 0
    return {
        MIME: record_of(standings, phase),
        "text/html": _as_html(line, rows, more),
        "text/plain": _as_text(line, rows, more),
    }


def shown_first(each: Sequence[Standing]) -> list[Standing]:
    """Return the jobs that static forms show: all of a few; of many those that need somebody, in order."""
    if len(each) <= SHOWN:
        return list(each)
    ranks = (Outcome.FAILED, Outcome.STOPPED, Outcome.RUNNING, Outcome.WAITING, Outcome.SUCCEEDED)
    numbers = sorted(range(len(each)), key=lambda number: (ranks.index(each[number].outcome), number))
    return [each[number] for number in sorted(numbers[:SHOWN])]


def _cells(one: Standing) -> Row:
    words = f"exit {one.exit_code}" if one.exit_code else one.outcome.value
    seconds = "" if one.duration_s is None else f"{one.duration_s:.1f} s"
    error = one.error[:_ERROR_CHARACTERS]
    texts = (one.label[:LABEL_CHARACTERS], words, seconds, short_id(one.job_id), error)
    return one.outcome, [readable(text) for text in texts]


def _as_text(line: str, rows: Sequence[Row], more: int) -> str:
    return "\n".join([readable(line), *text_rows(rows, more)])


def _as_html(line: str, rows: Sequence[Row], more: int) -> str:
    return f'<div class="bacalhau-jobs">{html.escape(readable(line))}{html_rows(rows, more)}</div>'

"""Rows below the line of a card, in the static forms: a sign, what it is called, how it ended, and more."""

from __future__ import annotations

import html
from collections.abc import Sequence

from bacalhau_jupyter.models.records.outcome import Outcome

SIGNS = {
    Outcome.WAITING: ("gray", "●"),
    Outcome.RUNNING: ("royalblue", "●"),
    Outcome.SUCCEEDED: ("green", "✓"),
    Outcome.FAILED: ("red", "✕"),
    Outcome.STOPPED: ("orange", "■"),
}
"""The colour and the sign of each outcome."""

Row = tuple[Outcome, list[str]]
"""The outcome, and the texts of the cells: what it is called, how it ended, the time, an ID, an error."""

SHOWN = 20
"""Rows that the static forms show."""


def text_rows(rows: Sequence[Row], more: int) -> list[str]:
    """Return a line for each row, and one for those that are left out."""
    lines = [f"  {SIGNS[outcome][1]} {' · '.join(filter(None, cells))}" for outcome, cells in rows]
    return [*lines, *([f"  and {more:,} more"] if more else [])]


def html_rows(rows: Sequence[Row], more: int) -> str:
    """Return the rows as a table; empty without rows."""
    parts = []
    for outcome, (label, words, *others) in rows:
        colour, sign = SIGNS[outcome]
        badge = f'<span style="color:{colour}">{sign} {html.escape(words)}</span>'
        cells = [html.escape(label), badge, *map(html.escape, others)]
        parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    if more:
        parts.append(f'<tr><td colspan="5">and {more:,} more</td></tr>')
    return f"<table>{''.join(parts)}</table>" if parts else ""

"""What a command returns: plain data that a shell prints and a notebook shows."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    import pandas as pd

_LEFT = 'style="text-align:left"'
_LEFT_WHOLE = 'style="text-align:left;white-space:nowrap"'
_WHOLE = 40
"""Characters of a cell that stays in one line of a page."""
FORMATS = ("table", "json", "yaml", "csv")


@dataclass(frozen=True)
class Show:
    """How a value is to be shown: the print flags of the verb that returned it."""

    form: str = "table"
    hide_header: bool = False
    pretty: bool = True
    secrets: bool = False


@dataclass
class Table:
    """Rows under headings, with the full records behind them for JSON and YAML."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    records: Any = None
    note: str = ""
    show: Show = Show()

    def df(self) -> pd.DataFrame:
        """Return the rows as a DataFrame."""
        from bacalhau_jupyter.client.tables import require_pandas

        frame: pd.DataFrame = require_pandas().DataFrame(self.rows, columns=list(self.columns))
        return frame

    def text(self, *, hide_header: bool = False) -> str:
        """Return aligned columns."""
        lines = [] if hide_header else [[str(column).upper() for column in self.columns]]
        last = len(self.columns) - 1
        # A name with a line feed must not look like a row; the messages of the last column may have several lines.
        lines += [[_cell(value, lines=i == last) for i, value in enumerate(row)] for row in self.rows]
        widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(self.columns))]
        margin = "\n" + " " * sum(width + 2 for width in widths[:-1])
        body = "\n".join(
            "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True))
            .rstrip()
            .replace("\n", margin)
            for line in lines
        )
        return f"{body}\n{self.note}" if self.note else body

    def render(self, show: Show) -> str:
        """Return the table in one of `FORMATS`."""
        if show.form == "csv":
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            if not show.hide_header:
                writer.writerow(self.columns)
            writer.writerows([_cell(value, lines=True) for value in row] for row in self.rows)
            return out.getvalue().rstrip("\n")
        if show.form == "table":
            return self.text(hide_header=show.hide_header)
        return dump(self.records if self.records is not None else self._plain(), show)

    def _plain(self) -> list[dict[str, object]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def _repr_html_(self) -> str:
        # Front ends put cells of tables at the right edge, which suits numbers only.
        head = "".join(f"<th {_LEFT}>{html.escape(str(column))}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(_td(_cell(value, lines=True)) for value in row) + "</tr>" for row in self.rows
        )
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def __repr__(self) -> str:
        return self.text()


def _td(text: str) -> str:
    # Browsers break IDs, times and names of images at their hyphens, which nobody can read.
    style = _LEFT_WHOLE if "-" in text and len(text) <= _WHOLE else _LEFT
    return f"<td {style}>{html.escape(text)}</td>"


@dataclass
class Details:
    """One described thing: sections of text for people, the full record for JSON and YAML.

    Attributes
    ----------
    is_failure
        Whether it tells of something that does not work: a shell ends with status 1.
    """

    record: Any
    sections: Sequence[tuple[str, Mapping[str, object] | Table | str]] = field(default_factory=list)
    show: Show = Show()
    is_failure: bool = False

    def text(self) -> str:
        """Return the sections as text; without sections, YAML."""
        if not self.sections:
            return dump(self.record, replace(self.show, form="yaml"))
        parts = []
        for title, content in self.sections:
            if isinstance(content, Table):
                body = content.text()
            elif isinstance(content, str):
                body = readable(content.rstrip("\n"), lines=True)
            else:
                width = max((len(key) for key in content), default=0)
                margin = "\n" + " " * (width + 3)
                cells = {
                    key: _cell(value, lines=True).replace("\n", margin) for key, value in content.items()
                }
                body = "\n".join(f"{key.ljust(width)} = {text}" for key, text in cells.items())
            parts.append(f"{title}\n{body}" if title else body)
        return "\n\n".join(parts)

    def render(self, show: Show) -> str:
        """Return the record in one of `FORMATS` (csv falls back to JSON)."""
        if show.form == "table":
            return self.text()
        return dump(self.record, show)

    def _repr_html_(self) -> str:
        parts = []
        for title, content in self.sections or [("", self.text())]:
            parts.append(f"<h4>{html.escape(title)}</h4>" if title else "")
            if isinstance(content, Table):
                parts.append(content._repr_html_())
            elif isinstance(content, str):
                parts.append(f"<pre>{html.escape(content)}</pre>")
            else:
                rows = [(key, _cell(value, lines=True)) for key, value in content.items()]
                parts.append(Table(("Field", "Value"), rows)._repr_html_())
        return "".join(parts)

    def __repr__(self) -> str:
        return self.text()


@dataclass
class Text:
    """A line or two that are the whole answer."""

    text: str
    show: Show = Show()

    def render(self, show: Show) -> str:
        del show
        return self.text

    def __repr__(self) -> str:
        return self.text


Result = Table | Details | Text


def _cell(value: object, *, lines: bool) -> str:
    """One table cell: names from other users must not reach a terminal as control characters."""
    return "" if value is None else readable(str(value), lines=lines)


def dump(value: Any, show: Show) -> str:
    """Return YAML or JSON in which nothing is invisible: the exact values, but secrets only if they are asked for."""
    from bacalhau_jupyter.grammar.shown import without_secrets
    from bacalhau_jupyter.models.codec import to_plain

    plain = to_plain(value) if show.secrets else without_secrets(to_plain(value))
    if show.form == "yaml":
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        if not _is_visible(text):
            text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=False)
        return text.rstrip("\n")
    text = json.dumps(plain, indent=2 if show.pretty else None, ensure_ascii=False)
    return text if _is_visible(text) else json.dumps(plain, indent=2 if show.pretty else None)


def blocks(plain: Any) -> str:
    """Return YAML for people: texts of several lines stand as blocks."""
    text = yaml.dump(plain, Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=110)
    return text.rstrip("\n")


class _Blocks(yaml.SafeDumper):
    pass


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    lines = text.split("\n")
    # A block can't hold such spaces.
    is_block = len(lines) > 1 and not any(line != line.rstrip() for line in lines)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)


_Blocks.add_representer(str, _text_node)


def _is_visible(text: str) -> bool:
    return readable(text, lines=True) == text

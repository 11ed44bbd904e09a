"""What a job's files look like under a cell: a table's head, images, text, sandboxed HTML, and a list of all files.

A job's files are foreign content. Text is escaped, SVG is shown as an image (where it can neither run scripts nor
load anything), HTML in a frame without scripts, origin and network. Notebooks stay small: each kind has a limit, and
what is left out is named with the call that returns it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bacalhau_jupyter.client.tables import TableFile, looks_like_table, read_head, table_rank
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.ansi import ansi_to_html
from bacalhau_jupyter.notebook.displays.foreign import image_tag, image_type, sandboxed

PREVIEW_ROWS = 200
PREVIEW_COLUMNS = 40
TABLE_HTML_BYTES = 150_000
FETCH_BYTES = 50_000_000
"""Larger files are only listed, not fetched."""
TABLE_BYTES = 500_000_000
"""Memory that a table may take to be counted."""
IMAGE_BYTES = 700_000
"""Bytes of all images in one output."""
IMAGES = 12
TEXT_BYTES = 20_000
HTML_BYTES = 300_000
FILES = 100
_HEAD_BYTES = 4096
_LOOKED_INTO = 3
"""Files that are tried before the list of files is all there is to show."""

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_TEXTS = (".txt", ".md", ".log", ".rst", ".yaml", ".yml", ".toml", ".json", ".xml", "")
_PAGES = (".html", ".htm")


class Files:
    """A job's files: all sizes are known, what is to be shown is fetched, up to `FETCH_BYTES` together.

    Parameters
    ----------
    sizes
        Path inside the result → bytes.
    fetch
        Returns the local path of a file.
    """

    def __init__(self, sizes: Mapping[str, int], fetch: Callable[[str], Path]) -> None:
        self.sizes = sizes
        self._fetch = fetch
        self._budget = FETCH_BYTES

    def endings(self, endings: Sequence[str]) -> list[str]:
        """Return the files with one of these endings, in the order of their names."""
        return [name for name in self.sizes if PurePosixPath(name.lower()).suffix in endings]

    def can_fetch(self, name: str) -> bool:
        """Whether the file fits into what is left of the budget."""
        return 0 < self.sizes[name] <= self._budget

    def read(self, name: str, limit: int = -1) -> bytes:
        """Return a file, or its first bytes."""
        with self.path(name).open("rb") as file:
            return file.read(limit)

    def path(self, name: str) -> Path:
        """Bring a file here and charge its bytes to the budget."""
        self._budget -= self.sizes[name]
        return self._fetch(name)


def preview(
    sizes: Mapping[str, int], fetch: Callable[[str], Path], *, table_name: str = ""
) -> dict[str, str]:
    """Return the MIME bundle for a job's files; empty when there is none.

    A single picture is the picture itself; everything else is HTML.

    Parameters
    ----------
    sizes
        Path inside the result → bytes.
    fetch
        Returns the local path of a file.
    table_name
        What the person calls the first table; default: its file's name, where there are others.
    """
    files = Files(sizes, fetch)
    if len(sizes) == 1 and (picture := _single_picture(files)):
        return picture
    parts = [_table(files, table_name), _images(files)]
    if not any(parts):
        parts = [_page(files) or _text(files)]
    if len(sizes) > 1 or not any(parts):
        parts.append(file_list(sizes, is_open=not any(parts)))
    body = "".join(parts)
    return {"text/html": body} if body else {}


def _single_picture(files: Files) -> dict[str, str]:
    (name,) = files.sizes
    if name not in files.endings(_IMAGES) or not 0 < files.sizes[name] <= IMAGE_BYTES:
        return {}
    data = files.read(name)
    kind = image_type(name, data)
    if kind not in ("image/png", "image/jpeg"):
        return {}
    return {kind: base64.b64encode(data).decode()}


def file_list(sizes: Mapping[str, int], *, is_open: bool = True) -> str:
    """Return the files as a tree with sizes."""
    if not sizes:
        return ""
    rows: list[str] = []
    above = ""
    for name in list(sizes)[:FILES]:
        folder, _, leaf = name.rpartition("/")
        depth = folder.count("/") + 1 if folder else 0
        if folder != above:
            rows.append(_row(f"{folder}/", "", max(0, depth - 1)))
            above = folder
        rows.append(_row(leaf, format_bytes(sizes[name]), depth))
    left = len(sizes) - FILES
    more = f"<p>and {left:,} more: result.ls() names all</p>" if left > 0 else ""
    title = f"{len(sizes):,} file{'s' * (len(sizes) != 1)}, {format_bytes(sum(sizes.values()))}"
    opened = " open" if is_open else ""
    return (
        f"<details{opened}><summary>{title}</summary>"
        f"<table><tbody>{''.join(rows)}</tbody></table>{more}</details>"
    )


def _row(name: str, size: str, depth: int) -> str:
    return (
        f'<tr><td style="text-align:left;padding-left:{1 + depth}em">{_name(name)}</td><td>{size}</td></tr>'
    )


def _table(files: Files, table_name: str) -> str:
    """Show the head of the first table; empty where there is none (not every text is one)."""
    tables = sorted((name for name in files.sizes if looks_like_table(name, b"")), key=table_rank)
    if not tables and len(files.sizes) <= _LOOKED_INTO:
        # Names that say nothing: `part-00000` may well be a table.
        tables = [name for name in files.endings(("",)) if files.can_fetch(name)]
    for name in tables[:_LOOKED_INTO]:
        if not files.can_fetch(name):
            return f"<p>{_call('df', name)} reads the table, {format_bytes(files.sizes[name])}</p>"
        path = files.path(name)
        with path.open("rb") as file:
            is_table = looks_like_table(name, file.read(_HEAD_BYTES))
        if not is_table:
            continue
        try:
            frame, total = read_head(TableFile(path, name), PREVIEW_ROWS, size_limit=TABLE_BYTES)
        except BacalhauError:
            continue
        return table_html(frame, total, title=table_name or (name if len(files.sizes) > 1 else ""))
    return ""


def table_html(frame: Any, total: int, *, title: str = "") -> str:
    """Return a frame's first rows as HTML that fits a notebook, with an honest count of what is shown.

    Parameters
    ----------
    frame
        The rows that may be shown.
    total
        How many rows there are.
    title
        Name of the file.
    """
    rows = len(frame)
    narrow = frame.iloc[:, :PREVIEW_COLUMNS]
    # Rows of a first try tell how many fit.
    text = _html(narrow.head(min(rows, 20)))
    if rows > 20:
        fitting = max(1, min(rows, TABLE_HTML_BYTES * 20 // max(1, len(text))))
        text, rows = _html(narrow.head(fitting)), fitting
    if len(text) > 2 * TABLE_HTML_BYTES:
        rows, text = 1, _html(narrow.head(1))
    if len(text) > 2 * TABLE_HTML_BYTES:
        # Names of columns and rows are never cut.
        rows, text = 0, "<p>the names of its columns or rows are too long to be shown</p>"
    notes = [f"<b>{_name(title)}</b>"] if title else []
    if rows < total:
        notes.append(f"showing {rows:,} of {_count(total)} rows")
    if narrow.shape[1] < frame.shape[1]:
        notes.append(f"showing {narrow.shape[1]} of {frame.shape[1]:,} columns")
    if rows < total or narrow.shape[1] < frame.shape[1]:
        notes.append("result.df() returns all")
    return f"{text}<p>{' · '.join(notes)}</p>" if notes else text


def _html(frame: Any) -> str:
    import pandas

    with pandas.option_context("display.max_colwidth", 100, "display.max_rows", None):
        text: str = frame.to_html(escape=True)
    return f'<div style="max-height:420px;overflow:auto">{text}</div>'


def _images(files: Files) -> str:
    figures: list[str] = []
    left: list[str] = []
    budget = IMAGE_BYTES
    for name in files.endings(_IMAGES):
        size = files.sizes[name]
        if len(figures) >= IMAGES or size > budget or not files.can_fetch(name):
            left.append(name)
            continue
        data = files.read(name)
        kind = image_type(name, data)
        if kind:
            budget -= size
            picture = image_tag(data, kind, name)
            figures.append(f"<figure>{picture}<figcaption>{_name(name)}</figcaption></figure>")
    note = ""
    if left:
        much = format_bytes(sum(files.sizes[name] for name in left))
        note = f"<p>{len(left)} more not shown here ({much}): {_call('image', left[0])}</p>"
    return "".join(figures) + note


def _page(files: Files) -> str:
    name = next(iter(files.endings(_PAGES)), None)
    if name is None:
        return ""
    if files.sizes[name] > HTML_BYTES:
        return f"<p>{_name(name)} is too large to be shown here: {_call('text', name)}</p>"
    page = files.read(name).decode(errors="replace")
    note = f"<b>{_name(name)}</b> · without scripts and network; {_call('get', name)} copies it"
    return f"{sandboxed(page)}<p>{note}</p>"


def _text(files: Files) -> str:
    for name in files.endings(_TEXTS)[:_LOOKED_INTO]:
        if not files.can_fetch(name):
            continue
        raw = files.read(name, TEXT_BYTES)
        if b"\x00" in raw:
            continue
        size, note = files.sizes[name], f"<b>{_name(name)}</b>"
        if size > len(raw):
            note += f" · showing {format_bytes(len(raw))} of {format_bytes(size)}: {_call('text', name)} returns all"
        return f"<pre>{ansi_to_html(raw.decode(errors='replace'))}</pre><p>{note}</p>"
    return ""


def _name(name: str) -> str:
    """Return a file's name as HTML that shows what it is made of."""
    return html.escape(readable(name))


def _call(method: str, name: str) -> str:
    """Return how Python gets at a file, as code."""
    return f"<code>result.{method}({html.escape(repr(name))})</code>"


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1_000_000 else f"{number:,}"

"""What of a job's display may stand in a notebook: an allow-list; all the rest is left out.

A display is foreign content. Raster images are checked by their first bytes. SVG is shown as an image and HTML (and
Markdown, as HTML) in a frame without scripts, forms, origin and network. Scripts, widgets and the types of our own
outputs are never passed on.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.notebook.displays.charts import chart, finite, is_chart, is_shallow, shown_as
from bacalhau_jupyter.notebook.displays.foreign import image_tag, image_type, sandboxed

IMAGE_BYTES = 2_000_000
HTML_BYTES = 300_000
JSON_BYTES = 300_000
CHART_BYTES = 500_000
TEXT_CHARACTERS = 100_000
"""Each of one display; what is larger is left out of it, text is cut."""

_RASTER = ("image/png", "image/jpeg", "image/gif")
_SVG = "image/svg+xml"
_STYLE = (
    "<style>body{font:13px/17px system-ui,sans-serif;margin:6px}p,ul,ol,pre,blockquote,h1,h2,h3,h4,h5,h6{margin:8px 0}"
    "h1{line-height:32px}h2{line-height:25px}table{border-collapse:collapse;font-size:12px}"
    "table,td,th{border:0}td,th{padding:3px 8px;text-align:right;line-height:15px;white-space:nowrap}"
    "tbody tr:nth-child(odd){background:#f5f5f5}"
    "thead{border-bottom:1px solid #bbb}pre,code{font-size:12px}img,svg{max-width:100%}</style>"
)
_TABLE = re.compile(r"<table\b.*?(?:</table>|\Z)", re.IGNORECASE | re.DOTALL)
_ROW = re.compile(r"<tr\b", re.IGNORECASE)
_PARAGRAPH = re.compile(r"<(?:p|h[1-6]|ul|ol|pre|blockquote)\b", re.IGNORECASE)
_BLOCK = re.compile(r"</?(?:p|div|li|ul|ol|h[1-6]|br|blockquote|hr)\b[^<>]*>", re.IGNORECASE)
_VERBATIM = re.compile(r"<pre\b[^<>]*>(.*?)(?:</pre>|\Z)", re.IGNORECASE | re.DOTALL)
_PICTURE = re.compile(r"<(?:img|svg)\b", re.IGNORECASE)
_TAG = re.compile(r"<style\b.*?(?:</style>|\Z)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_ROW_HEIGHT, _LINE_HEIGHT, _GAP, _MARGINS = 21, 17, 8, 15
_HEADINGS = {"<h1": 15, "<h2": 8}
"""Pixels that a heading is higher than a line."""
_LINE_CHARACTERS = 120
_NOT_DRAWN = (
    "a chart that could load maps, pictures or data from the network is not drawn: show it as an image"
)
_LEAST_HEIGHT, _MOST_HEIGHT = 36, 420


@dataclass(frozen=True)
class Shown:
    """A bundle that may be published, and what it takes in the notebook file.

    Attributes
    ----------
    data, metadata
        The MIME bundle.
    text_bytes
        Bytes of text, HTML and JSON.
    image_bytes
        Bytes of base64.
    """

    data: dict[str, Any]
    metadata: dict[str, Any]
    text_bytes: int
    image_bytes: int


def allowed(data: dict[str, Any], metadata: dict[str, Any]) -> Shown:
    """Return what of a job's bundle may be shown; there is always a plain text."""
    shown: dict[str, Any] = {}
    notes: list[str] = []
    for kind in data:
        if is_chart(kind):
            drawn = chart(kind, data[kind])
            _keep_json(shown, notes, shown_as(kind), drawn, CHART_BYTES)
            if drawn is None:
                notes.append(_NOT_DRAWN)
    page = _page(data, notes)
    if page:
        shown["text/html"] = page
    about: dict[str, Any] = {}
    for kind in _RASTER:
        image = _image(kind, data.get(kind), notes)
        if image:
            shown[kind] = image
            size = _size(metadata.get(kind))
            if size:
                about[kind] = size
    tree = data.get("application/json")
    if tree is not None and is_shallow(tree):
        _keep_json(shown, notes, "application/json", finite(tree, as_text=True), JSON_BYTES)
    shown["text/plain"] = _plain(data, bool(shown), notes)
    images = sum(len(shown[kind]) for kind in _RASTER if kind in shown)
    return Shown(shown, about, _bytes(shown) - images, images)


def _plain(data: dict[str, Any], has_more: bool, notes: list[str]) -> str:
    text = data.get("text/plain")
    if not isinstance(text, str):
        text = ""
    if not text and not has_more:
        source = data.get("text/markdown")
        text = source if isinstance(source, str) else ""
    if not text and has_more and "text/html" not in data:
        text = f"<{next(iter(data))!s:.80}>"
    left_out = [kind for kind in data if kind != "text/plain"]
    if not text and not has_more and not notes and left_out:
        notes.append(f"{str(left_out[0])[:80]!r} is a type that a job can't display")
    if len(text) > TEXT_CHARACTERS:
        notes.append(f"{len(text):,} characters, of which {TEXT_CHARACTERS:,} are shown")
        text = text[:TEXT_CHARACTERS]
    return "\n".join([*([text] if text else []), *(f"[{note}]" for note in notes)])


def _keep_json(shown: dict[str, Any], notes: list[str], kind: str, value: Any, limit: int) -> None:
    if value is None:
        return
    size = _bytes(value)
    if size > limit:
        notes.append(f"{format_bytes(size)} of {kind} are too much for a notebook")
    else:
        shown[kind] = value


def _bytes(value: Any) -> int:
    return len(json.dumps(value))


def _image(kind: str, value: Any, notes: list[str]) -> str:
    """Return an image's base64, if it is one and of that kind."""
    if not isinstance(value, str):
        return ""
    if len(value) > IMAGE_BYTES * 4 // 3 + 4:
        notes.append(f"an image of {format_bytes(len(value) * 3 // 4)} is too large for a notebook")
        return ""
    try:
        raw = base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(raw).decode() if image_type("", raw[:16]) == kind else ""


def _size(about: Any) -> dict[str, int]:
    if not isinstance(about, dict):
        return {}
    sizes = {name: about.get(name) for name in ("width", "height")}
    return {name: size for name, size in sizes.items() if type(size) is int and 0 < size <= 4000}


def _page(data: dict[str, Any], notes: list[str]) -> str:
    """Return HTML, Markdown or SVG as HTML that can't act."""
    for kind in ("text/html", "text/markdown", _SVG):
        text = data.get(kind)
        if not isinstance(text, str) or not text.strip():
            continue
        if len(text) > HTML_BYTES:
            notes.append(f"{format_bytes(len(text))} of {kind} are too much for a notebook")
            continue
        if kind == _SVG:
            return image_tag(text.encode("utf-8", "replace"), _SVG, "")
        page = text if kind == "text/html" else _rendered(text)
        if page:
            return sandboxed(_STYLE + page, _height(page))
    return ""


def _rendered(markdown: str) -> str:
    """Return Markdown as HTML; empty where no library for it is installed."""
    try:
        import mistune
    except ImportError:
        return ""
    try:
        return str(mistune.html(markdown))
    except Exception:
        return ""


def _height(page: str) -> int:
    """Guess how high a frame has to be; without scripts it can't say so itself. Our style gives each row one height."""
    outside = _TABLE.sub("<br>", page)
    if _PICTURE.search(page):
        return _MOST_HEIGHT
    blocks = (_TAG.sub("", block).strip("\n") for block in _VERBATIM.findall(outside))
    lines = sum(block.count("\n") + 1 for block in blocks)
    # Only text takes a line: the elements around a table, and its own style sheet, take none.
    text = _TAG.sub("", _BLOCK.sub("\0", _VERBATIM.sub("\0", outside)))
    pieces = [" ".join(piece.split()) for piece in text.split("\0")]
    lines += sum(1 + len(piece) // _LINE_CHARACTERS for piece in pieces if piece)
    gaps = _GAP * len(_PARAGRAPH.findall(outside))
    gaps += sum(pixels * outside.lower().count(tag) for tag, pixels in _HEADINGS.items())
    gaps += 2 if gaps else 0
    height = _ROW_HEIGHT * len(_ROW.findall(page)) + _LINE_HEIGHT * lines + gaps + _MARGINS
    return max(_LEAST_HEIGHT, min(_MOST_HEIGHT, height))

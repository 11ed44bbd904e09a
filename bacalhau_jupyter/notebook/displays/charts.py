"""Charts as data (Vega, Vega-Lite, Plotly) without what would let them reach out: addresses and settings of the page.

A chart is drawn in the notebook's own page. A specification that loads data or images could read what the person may
read there and send it away, so one with an address anywhere in it is not shown; settings that are the page's business
are dropped.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from typing import Any

VEGA = re.compile(r"application/vnd\.vega(lite)?\.v([0-9]+)[+.]json")
PLOTLY = "application/vnd.plotly.v1+json"
DEEPEST = 100

_VEGA_REACHES = frozenset({"url", "href", "src", "element"})
"""Addresses, and elements of the page that a signal would be bound to."""
_PLOTLY_REACHES = frozenset(
    {"source", "geojson", "style", "tiles", "glyphs", "sprite", "url", "href", "src", "args", "args2", "data"}
)
"""Members that may hold addresses, also in the changes that a button makes."""
_EXPRESSIONS = frozenset({"signal", "expr", "calculate", "update", "init", "on", "test", "filter", "sort"})
"""Members of Vega that may hold code."""
_BINDING = frozenset(
    {"input", "name", "min", "max", "step", "options", "labels", "debounce", "placeholder", "autocomplete"}
)
"""What a chart may say of an input element; every other member would become an attribute of it, a script's too."""
_INPUT = re.compile(r"[a-z-]{1,20}")
_CURSOR = re.compile(r"[a-z-]{1,20}")
_CSS_ADDRESS = re.compile(r"url\s*\(|image-set\s*\(|@import", re.IGNORECASE)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|([^0-9a-f\n]))", re.IGNORECASE)
_LINK = re.compile(r"<\s*(?:a|img|script|iframe|svg|image)\b|javascript:", re.IGNORECASE)
_MAPS = re.compile(r"scattergeo|choropleth|(?:scatter|choropleth|density)map(?:box)?", re.IGNORECASE)
"""Traces for which Plotly fetches outlines or tiles from hosts of its own choice."""


_NEWEST_LITE = 5
"""Vega-Lite's version that JupyterLab draws; it draws a newer specification under this name, too."""


def shown_as(kind: str) -> str:
    """Return the MIME type that front ends know a chart by; Altair 6 writes ``v6.json``."""
    vega = VEGA.fullmatch(kind)
    if vega is None:
        return kind
    version = min(int(vega[2]), _NEWEST_LITE) if vega[1] else int(vega[2])
    return f"application/vnd.vega{vega[1] or ''}.v{version}+json"


def is_chart(kind: str) -> bool:
    """Whether a MIME type is one of the charts."""
    return kind == PLOTLY or VEGA.fullmatch(kind) is not None


def chart(kind: str, spec: Any) -> Any:
    """Return a chart that can be shown; None where it can't."""
    if not isinstance(spec, dict) or not is_shallow(spec):
        return None
    if kind == PLOTLY:
        shown = {key: spec[key] for key in ("data", "layout", "frames") if key in spec}
        is_map = _reaches_out(_without_template(shown), _is_map)
        return None if is_map or _reaches_out(shown, _plotly_reaches_out) else finite(shown)
    shown = {key: value for key, value in spec.items() if key != "usermeta"}
    if _reaches_out(shown, _vega_reaches_out):
        return None
    # A tooltip shows the field "image" as a picture. Without a tooltip, a field may have any name.
    if _reaches_out(shown, _has_tooltip) and _reaches_out(shown, _names_picture):
        return None
    return finite(shown)


def _vega_reaches_out(key: str, value: Any) -> bool:
    if key.lower() in _VEGA_REACHES:
        return True
    if key in ("mark", "type") and value == "image":
        return True
    # A cursor is a piece of CSS, which may be an address; a signal of this name sets it, too.
    if key.lower() == "cursor":
        return not _is_cursor(value)
    if key == "name" and value == "cursor":
        return True
    if key == "bind" and not _is_binding(value):
        return True
    return _holds(_CSS_ADDRESS, value)


def _is_binding(value: Any) -> bool:
    if not isinstance(value, dict):
        return True
    if "input" in value:
        kind = value["input"]
        return value.keys() <= _BINDING and isinstance(kind, str) and _INPUT.fullmatch(kind) is not None
    # An input for each field of a selection, or the events of a legend.
    return all(
        isinstance(inner, dict) and _is_binding(inner) if name not in ("legend", "scales") else True
        for name, inner in value.items()
    )


def _is_cursor(value: Any) -> bool:
    if isinstance(value, dict) and value.keys() == {"value"}:
        value = value["value"]
    return value is None or (isinstance(value, str) and _CURSOR.fullmatch(value) is not None)


def _has_tooltip(key: str, value: Any) -> bool:
    return key == "tooltip" and value not in (None, False)


def _names_picture(key: str, value: Any) -> bool:
    """Whether a member makes, or may make, a field or an entry of a tooltip that is called "image"."""
    if key == "image" and isinstance(value, str):
        return True
    # A pivot makes names of what the data says.
    if key == "pivot" or (key == "type" and value == "pivot"):
        return True
    if key in ("as", "title", "field", "fields", "key", "groupby", "header"):
        return "image" in _strings(value)
    # Code, and data that is one text (JSON, CSV), may spell a name with escapes.
    if key in _EXPRESSIONS or key == "values":
        return any("image" in text or "\\" in text for text in _strings(value))
    return False


def _plotly_reaches_out(key: str, value: Any) -> bool:
    # A change may name a member by its way: "images[0].source".
    name = re.sub(r"\[[^]]*\]", "", key).rpartition(".")[2].lower()
    if name in _PLOTLY_REACHES and any(_is_address(text) for text in _strings(value)):
        return True
    return _holds(_LINK, value) or _holds(_CSS_ADDRESS, value)


def _without_template(figure: dict[str, Any]) -> dict[str, Any]:
    """Return a figure without its template, which has defaults for all types of traces."""
    layout = figure.get("layout")
    if not isinstance(layout, dict):
        return figure
    return {**figure, "layout": {key: value for key, value in layout.items() if key != "template"}}


def _is_map(key: str, value: Any) -> bool:
    return key in ("type", "") and isinstance(value, str) and _MAPS.fullmatch(value) is not None


def _holds(pattern: re.Pattern[str], value: Any) -> bool:
    """Whether a text holds something, also as an HTML entity or a CSS escape."""
    if not isinstance(value, str):
        return False
    plain = html.unescape(value)
    return any(pattern.search(text) for text in (value, plain, _CSS_ESCAPE.sub(_unescaped, plain)))


def _unescaped(escape: re.Match[str]) -> str:
    number = int(escape[1] or "0", 16)
    return escape[2] or (chr(number) if 0 < number < 0x110000 else "")


def _is_address(text: str) -> bool:
    # The names of built-in map styles are words. To a browser a backslash is a slash.
    return ("/" in text or "\\" in text) and not text.startswith("data:image/")


def _strings(value: Any) -> list[str]:
    """Return a text, or the texts directly in a list or in the lists of a change."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return []


def _reaches_out(spec: Any, reaches_out: Callable[[str, Any], bool]) -> bool:
    pending = [spec]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if any(reaches_out(str(key), inner) for key, inner in value.items()):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            if any(reaches_out("", inner) for inner in value if isinstance(inner, str)):
                return True
            pending.extend(value)
    return False


def is_shallow(value: Any) -> bool:
    """Whether no list or mapping is nested deeper than `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def finite(value: Any, *, as_text: bool = False) -> Any:
    """Return a copy without NaN and infinities, which JSON does not have: null, or their names as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if as_text else None
    if isinstance(value, dict):
        return {key: finite(inner, as_text=as_text) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner, as_text=as_text) for inner in value]
    return value

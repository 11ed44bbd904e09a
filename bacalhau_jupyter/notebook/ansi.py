"""Terminal text as HTML: colours stay, every other control sequence goes, and nothing of it is markup."""

from __future__ import annotations

import html
import re

# CSI (colours, cursor), OSC (titles, links; ended by BEL or ST), and the two-character escapes.
_SEQUENCE = re.compile(r"\x1b(?:\[([0-9;:?]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COLOURS = ("black", "#c33", "#2a2", "#b80", "#36c", "#a3a", "#2aa", "#aaa")


def ansi_to_html(text: str) -> str:
    r"""Return the text escaped for HTML, with its colours as spans.

    A carriage return lets the rest of the line replace what stood before it, as a terminal shows progress bars.
    """
    parts: list[str] = []
    style: dict[str, str] = {}
    place = 0
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    for match in _SEQUENCE.finditer(text):
        parts.append(_span(text[place : match.start()], style))
        place = match.end()
        if match[2] == "m":
            style = _styled(style, match[1])
    parts.append(_span(text[place:], style))
    return "".join(parts)


def _span(text: str, style: dict[str, str]) -> str:
    shown = html.escape(_CONTROL.sub("", text))
    if not shown or not style:
        return shown
    css = ";".join(f"{name}:{value}" for name, value in style.items())
    return f'<span style="{css}">{shown}</span>'


def _styled(style: dict[str, str], codes: str) -> dict[str, str]:
    """Apply the codes of one colour sequence; colours of the large palettes are left out."""
    new_style = dict(style)
    for code in (int(part) if part.isdigit() else 0 for part in re.split("[;:]", codes)):
        if code in (38, 48):
            break
        if code == 0:
            new_style = {}
        elif code == 1:
            new_style["font-weight"] = "bold"
        elif code == 22:
            new_style.pop("font-weight", None)
        elif code == 39:
            new_style.pop("color", None)
        elif code == 49:
            new_style.pop("background", None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            new_style["color"] = _COLOURS[code % 10]
        elif 40 <= code <= 47 or 100 <= code <= 107:
            new_style["background"] = _COLOURS[code % 10]
    return new_style


def plain_text(text: str) -> str:
    """Remove terminal colour codes (for places that show none)."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

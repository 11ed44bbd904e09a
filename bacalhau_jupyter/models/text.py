"""Text as text: what others wrote, shown so that it can't pretend to be something else.

Names, labels, reasons and errors come from submitters of jobs and from nodes. A direction mark turns a name
around, an escape sequence rewrites a terminal, a line feed adds a row to a table, a zero-width character makes
two names look the same. `readable` is what every view shows them through (in the browser: ``src/format/text.ts``).
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories: controls, format marks (directions, zero width), half characters, line and paragraph ends."""
_NOT_PLAIN = re.compile(r"[^ -~]")
_KEPT_IN_LINES = "\n\t"
_LINE_MAGIC = re.compile(r"(?<!%)%bacalhau ")


def readable(text: str, *, lines: bool = False) -> str:
    r"""Return ``text`` with everything invisible spelled out, such as ``\u202e``, ``\x1b`` or ``\n``.

    Parameters
    ----------
    text
        Anything.
    lines
        Whether line feeds and tabs may stay: true for a message, false for a name or a table's cell.
    """
    if text.isascii() and text.isprintable():
        return text
    return _NOT_PLAIN.sub(lambda match: _spelled(match[0], lines), text)


def is_readable(text: str) -> bool:
    """Whether a name holds nothing that `readable` would spell out."""
    return readable(text) == text


def typed(text: str, program: str) -> str:
    """Return a sentence that names commands as in a notebook, with the name that they have elsewhere.

    A cell's first line (``%%bacalhau``) stays: no other program takes cells.
    """
    return _LINE_MAGIC.sub(f"{program} ", text)


def _spelled(character: str, lines: bool) -> str:
    if unicodedata.category(character) not in _INVISIBLE or (lines and character in _KEPT_IN_LINES):
        return character
    if "\udc80" <= character <= "\udcff":
        # Python's stand-in for a byte that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()

r"""Displays of a Python cell, inside its output: how they are framed, and how everyone but a notebook skips them.

The cell's runner (``client/bodies/runner/channel.py``) writes them as application program commands
(``ESC _ bacalhau; … ESC \``), which terminals don't show. Behind each one stands its plain text.
"""

from __future__ import annotations

import re

START, END = "\x1b_bacalhau;", "\x1b\\"
FRAME_CHARACTERS = 4096
"""No frame is longer; what is never ends in time, so it is text."""
_FRAME = re.compile(r"\x1b_bacalhau;[^\x1b]{0,4096}\x1b\\")
_CUT_FRAME = re.compile(r"\x1b_bacalhau;[^\x1b]{0,4096}\x1b?\Z")


def without_displays(text: str) -> str:
    """Return a whole text without frames, one that was cut off at the end included; their plain texts stay."""
    return _CUT_FRAME.sub("", _FRAME.sub("", text)) if START in text else text


def held_back(text: str, start: str = START) -> int:
    """Return how many characters at the end of a chunk may be the beginning of ``start``."""
    place = text.rfind("\x1b", max(0, len(text) - len(start)))
    return len(text) - place if place >= 0 and start.startswith(text[place:]) else 0


class DisplayFilter:
    """Removes frames from a text that comes in chunks."""

    def __init__(self) -> None:
        self._kept = ""

    def feed(self, chunk: str) -> str:
        """Return what can be shown of the text so far."""
        text = _FRAME.sub("", self._kept + chunk) if "\x1b" in chunk or self._kept else chunk
        place = text.find(START)
        if place < 0:
            place = len(text) - held_back(text)
        elif len(text) - place > FRAME_CHARACTERS + len(START):
            place = len(text)
        self._kept = text[place:]
        return text[:place]

    def finish(self) -> str:
        """Return what was held back and turned out to be text."""
        kept, self._kept = without_displays(self._kept), ""
        return kept

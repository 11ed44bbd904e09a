"""Splits the output of a Python cell into text and displays.

Only frames that carry the execution's nonce are displays. The runner announces the nonce in the first bytes of
stdout, before the body runs (``client/bodies/runner/channel.py``); an output that begins otherwise has none, and
nothing in it is ever parsed. All other text is passed on as it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.records.displays import END, FRAME_CHARACTERS, START, held_back

_HELLO = re.compile(r"\x1b_bacalhau;hello;([0-9a-f]{32})\x1b\\")
_HELLO_LENGTH = len(START) + len("hello;") + 32 + len(END)
_BODY = re.compile(r"([0-9.]{1,40});(\+|[0-9]{1,4});([A-Za-z0-9+/=]*)")
DISPLAY_CHARACTERS = 6_000_000
"""Base64 of one display; the runner sends no larger one."""
UNFINISHED_CHARACTERS = 24_000_000
"""Base64 of all displays whose end has not come yet; the oldest are given up for newer ones."""


@dataclass(frozen=True)
class Display:
    """What a job wants to be shown; nothing of it is checked yet but its shape.

    Attributes
    ----------
    data
        Its MIME bundle.
    metadata
        What belongs to it.
    name
        The job's own identifier, unique in its execution.
    is_update
        Whether it takes the place of the former of that name.
    """

    data: dict[str, Any]
    metadata: dict[str, Any]
    name: str
    is_update: bool


class DisplayReader:
    """Reads the stdout of one execution, chunk by chunk.

    Parameters
    ----------
    has_runner
        Says whether the job is a Python cell of ours; asked once, and only where the output looks like one.
    """

    def __init__(self, has_runner: Callable[[], bool]) -> None:
        self._has_runner = has_runner
        self._text = ""
        self._marker: str | None = ""
        """What a frame begins with; empty before the first bytes came, None where nothing is parsed."""
        self._skip = 0
        self._parts: dict[str, str] = {}
        self._unfinished = 0

    def feed(self, chunk: str) -> list[str | Display]:
        """Return the text and the displays that are complete now, in order."""
        if self._marker is None:
            return [chunk] if chunk else []
        self._text += chunk
        pieces: list[str | Display] = []
        if self._marker == "" and not self._greeted():
            if self._marker is None:
                pieces, self._text = [self._text], ""
            return pieces
        while self._step(pieces):
            pass
        return [item for item in pieces if item != ""]

    def finish(self) -> str:
        """Return what was held back."""
        text, self._text = self._text, ""
        self._parts.clear()
        return text

    def _greeted(self) -> bool:
        """Look for the announcement; return whether it was there."""
        if len(self._text) < _HELLO_LENGTH and (START + "hello;").startswith(self._text[: len(START) + 6]):
            return False
        hello = _HELLO.match(self._text)
        if hello is None or not self._has_runner():
            self._marker = None
            return False
        self._marker = f"{START}{hello[1]};"
        self._text = self._text[hello.end() :]
        return True

    def _step(self, pieces: list[str | Display]) -> bool:
        """Take one piece from the text; return whether there may be more."""
        if self._skip:
            skipped = min(self._skip, len(self._text))
            self._text, self._skip = self._text[skipped:], self._skip - skipped
        marker = self._marker or ""
        place = self._text.find(marker)
        if place < 0:
            place = len(self._text) - held_back(self._text, marker)
            pieces.append(self._text[:place])
            self._text = self._text[place:]
            return False
        pieces.append(self._text[:place])
        self._text = self._text[place:]
        end = self._text.find(END, len(marker))
        if end < 0 and len(self._text) <= FRAME_CHARACTERS:
            return False
        frame = _BODY.fullmatch(self._text, len(marker), end) if 0 <= end <= FRAME_CHARACTERS else None
        if frame is None:
            pieces.append(self._text[: len(marker)])
            self._text = self._text[len(marker) :]
            return True
        self._text = self._text[end + len(END) :]
        display = self._add(frame[1], frame[2], frame[3])
        if display is not None:
            pieces.append(display)
        return True

    def _add(self, number: str, rest: str, data: str) -> Display | None:
        so_far = self._parts.pop(number, None)
        if so_far is not None:
            self._unfinished -= len(so_far) + 1
        so_far = (so_far or "") + data
        if rest != "+":
            self._skip = int(rest)
            return display_of(so_far)
        if len(so_far) <= DISPLAY_CHARACTERS:
            self._parts[number] = so_far
            self._unfinished += len(so_far) + 1
        while self._unfinished > UNFINISHED_CHARACTERS:
            self._unfinished -= len(self._parts.pop(next(iter(self._parts)))) + 1
        return None


def display_of(data: str) -> Display | None:
    """Return the display that a frame's base64 holds; None where it is not one."""
    try:
        value = json.loads(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("data"), dict):
        return None
    name, metadata = value.get("id"), value.get("metadata")
    return Display(
        data=value["data"],
        metadata=metadata if isinstance(metadata, dict) else {},
        name=name if isinstance(name, str) else "",
        is_update=value.get("update") is True,
    )

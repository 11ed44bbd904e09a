"""The lines that a NATS server prints: what they say of its start, and what of them is worth our log."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

_LINE = re.compile(r"^(?:\[\d+\] )?\[(TRC|DBG|INF|WRN|ERR|FTL)\] (.*)$")
_LISTENS = re.compile(r"^Listening for client connections on .*:(\d+)$")
_READY = "Server is ready"
_LEVELS = {"WRN": logging.INFO, "ERR": logging.WARNING, "FTL": logging.ERROR}
_REFUSED = re.compile(r"authentication error|auth(orization)? callout", re.IGNORECASE)
_PLAIN_PASSWORDS = "Plaintext passwords detected"
_PIECE = 1 << 16
_LONGEST = 500


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes
    ----------
    level
        ``INF``, ``WRN``, ``ERR`` or ``FTL``; ``FTL`` as well for what the program says before its log begins.
    text
        The rest.
    """

    level: str
    text: str

    @property
    def port(self) -> int | None:
        """The port that it tells of; None in other lines."""
        match = _LISTENS.match(self.text)
        return int(match[1]) if match else None

    @property
    def is_ready(self) -> bool:
        """Whether the server accepts connections from here on."""
        return self.text == _READY

    @property
    def is_trouble(self) -> bool:
        """Whether it may say why the server ends."""
        return self.level in {"ERR", "FTL"}

    @property
    def log_level(self) -> int:
        """How our log has it. Refused connections are told by those who refused them, with the reason."""
        if _REFUSED.search(self.text) or self.text.startswith(_PLAIN_PASSWORDS):
            return logging.DEBUG
        return _LEVELS.get(self.level, logging.DEBUG)


def read_line(text: str) -> Line:
    """Take a printed line apart."""
    match = _LINE.match(text)
    return Line(match[1], match[2][:_LONGEST]) if match else Line("FTL", text[:_LONGEST])


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[Line]:
    """Yield what a program prints, line by line, until it ends; of a line without an end only its beginning."""
    rest = b""
    while piece := await stream.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for text in whole:
            yield read_line(text.decode(errors="replace").rstrip())
        rest = rest[:_PIECE]
    if rest.strip():
        yield read_line(rest.decode(errors="replace").rstrip())

"""Which trace something belongs to, and how that is handed on: W3C ``traceparent``."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "traceparent"
VARIABLE = "TRACEPARENT"
"""How a program is told which span started it."""

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_UNKNOWN_VERSION = "ff"


@dataclass(frozen=True)
class Link:
    """A span, as those that it caused name it."""

    trace_id: int
    span_id: int
    sampled: bool = True

    @property
    def header(self) -> str:
        """The value of ``traceparent``."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.sampled else '00'}"

    def part(self, identifier: str) -> Link:
        """Return the span of the same trace that belongs to an identifier: always the same one, after a restart too."""
        return Link(self.trace_id, span_id_of(identifier), self.sampled)

    def next(self) -> Link:
        """Return a new span of the same trace."""
        return Link(self.trace_id, random_id(64), self.sampled)


CURRENT: ContextVar[Link | None] = ContextVar("bacalhau_jupyter_trace", default=None)
"""The span at work here."""


def read_link(text: str) -> Link | None:
    """Return what a ``traceparent`` says; None where it says nothing or is not well-formed."""
    match = _FORM.fullmatch(text.strip())
    if match is None or match[1] == _UNKNOWN_VERSION or (match[1] == "00" and match[5]):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    return Link(trace_id, span_id, bool(int(match[4], 16) & 1)) if trace_id and span_id else None


def span_id_of(identifier: str) -> int:
    """Return the span ID that belongs to an identifier."""
    return _digest(identifier, 8)


def trace_id_of(identifier: str) -> int:
    """Return the trace ID that belongs to an identifier."""
    return _digest(identifier, 16)


def random_id(bits: int) -> int:
    """Return a new ID."""
    return int.from_bytes(os.urandom(bits // 8), "big") or 1


def _digest(identifier: str, size: int) -> int:
    # Most processes never need it: nobody listens.
    import hashlib

    raw = hashlib.sha256(identifier.encode(errors="surrogatepass")).digest()
    return int.from_bytes(raw[:size], "big") or 1

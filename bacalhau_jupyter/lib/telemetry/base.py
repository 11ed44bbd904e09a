"""What the node tells a receiver, as the rooms see it; and the telemetry that tells nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bacalhau_jupyter.lib.telemetry.trace import CURRENT, Link, random_id

Value = str | int | float | bool
Attributes = Mapping[str, Value]
Readings = Callable[[], list[tuple[int, dict[str, str]]]]
"""Return what an observed instrument shows now, with attributes; called on another thread."""


class Kind(Enum):
    """Which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True)
class Span:
    """Something that is over.

    Attributes
    ----------
    link
        Its own IDs; those who were called have them already.
    start_ns, end_ns
        Unix nanoseconds.
    error
        What went wrong, in a word (an error's code or class); never a message: those may quote a job.
    """

    name: str
    link: Link
    parent: Link | None
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict)
    kind: Kind = Kind.INTERNAL
    error: str = ""


class Telemetry(Protocol):
    """Takes what is told; never blocks, never raises."""

    @property
    def traces(self) -> bool:
        """Whether spans are wanted."""
        ...

    @property
    def metrics(self) -> bool:
        """Whether figures are wanted."""
        ...

    def samples(self, trace_id: int) -> bool:
        """Whether a trace that begins here is to be told."""
        ...

    def span(self, span: Span) -> None:
        """Tell what is over."""
        ...

    def count(self, name: str, amount: int = 1, attributes: Attributes | None = None) -> None:
        """Add to a counter of `instruments`."""
        ...

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        """Put a value into a histogram of `instruments`."""
        ...

    def observe(self, name: str, readings: Readings) -> None:
        """Ask for an instrument's values whenever they are sent."""
        ...

    def close(self) -> None:
        """Send what is left, for a moment; a receiver that does not answer is not waited for."""
        ...


class Silent:
    """Telemetry that tells nobody."""

    traces = False
    metrics = False

    def samples(self, trace_id: int) -> bool:
        """Tell no trace."""
        del trace_id
        return False

    def span(self, span: Span) -> None:
        """Drop a span."""

    def count(self, name: str, amount: int = 1, attributes: Attributes | None = None) -> None:
        """Drop a count."""

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        """Drop a value."""

    def observe(self, name: str, readings: Readings) -> None:
        """Ask nobody."""

    def close(self) -> None:
        """Do nothing."""


SILENT: Telemetry = Silent()


@contextmanager
def spanning(
    telemetry: Telemetry, name: str, *, parent: Link | None = None, kind: Kind = Kind.INTERNAL
) -> Iterator[dict[str, Value]]:
    """Do something as a span below ``parent``, else below the current one; what is yielded takes its attributes.

    Where nobody listens, what is done still passes ``parent`` on.
    """
    above = parent or CURRENT.get()
    attributes: dict[str, Value] = {}
    if not telemetry.traces:
        token = CURRENT.set(above)
        try:
            yield attributes
        finally:
            CURRENT.reset(token)
        return
    own = above.next() if above is not None else _begin(telemetry)
    token = CURRENT.set(own)
    start_ns, error = time.time_ns(), ""
    try:
        yield attributes
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        CURRENT.reset(token)
        error = str(attributes.pop("error.type", "")) or error
        telemetry.span(Span(name, own, above, start_ns, time.time_ns(), attributes, kind=kind, error=error))


def _begin(telemetry: Telemetry) -> Link:
    trace_id = random_id(128)
    return Link(trace_id, random_id(64), telemetry.samples(trace_id))

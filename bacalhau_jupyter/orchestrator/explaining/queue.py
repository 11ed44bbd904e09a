"""Which waiting jobs go before another one, in words."""

from __future__ import annotations

from bacalhau_jupyter.orchestrator.explaining.circumstances import Ahead
from bacalhau_jupyter.orchestrator.explaining.words import listed, quoted

_NAMES = 3


def behind(ahead: Ahead) -> str:
    """Say which waiting jobs go first, as the end of a sentence; empty where none do."""
    named = [quoted(name) for name in ahead.names[:_NAMES]]
    rest = ahead.count - len(named)
    priority = "of the same or a higher priority"
    if not ahead.count:
        return ""
    if ahead.count == 1:
        return f"; behind {named[0] if named else 'one job'} {priority}"
    parts = [*named, *([f"{rest:,} more"] if rest else [])]
    inside = f" ({listed(parts, most=_NAMES + 1)})" if named else ""
    return f"; behind {ahead.count:,} jobs{inside} {priority}"

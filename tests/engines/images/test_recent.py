"""Strangers choose keys; a bounded number is remembered."""

from __future__ import annotations

from bacalhau_jupyter.engines.images.recent import Recent


def test_what_was_used_longest_ago_goes() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.get("a") == 1
    recent.keep("c", 3)
    recent.keep("c", 4)

    assert (recent.get("a"), recent.get("b"), recent.get("c"), len(recent)) == (1, None, 4, 2)

    recent.forget("a")
    recent.forget("a")
    assert recent.get("a") is None and len(recent) == 1

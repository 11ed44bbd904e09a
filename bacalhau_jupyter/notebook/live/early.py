"""The card of a kernel's first cell: it is on screen before the rest of this package is imported."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.notebook.live.card import Card, Status
from bacalhau_jupyter.notebook.live.pane import show_card

_WITHOUT_CARD = frozenset(("--help", "-h", "--dry-run", "--id-only", "--detach", "--no-wait", "--sweep"))
"""Flags of cells that follow no single job; how they are parsed is known only after the import."""


def early_card(shell: Any, line: str) -> Card | None:
    """Show a card for a cell that is going to be submitted; None where it would be out of place."""
    words = {word.partition("=")[0] for word in line.split()}
    if not hasattr(shell, "kernel") or words & _WITHOUT_CARD:
        return None
    card = Card(Status(), show_card, is_live=True)
    card.open()
    return card

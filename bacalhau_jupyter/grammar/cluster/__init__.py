"""``cluster …``: whether nodes of other machines may join the connected node, and which clusters it joined itself."""

from __future__ import annotations

from bacalhau_jupyter.grammar.cluster import joining, opening

__all__ = ["joining", "opening"]

"""``cluster …``: whether nodes of other machines may join the connected node."""

from __future__ import annotations

from bacalhau_jupyter.grammar.cluster import opening

__all__ = ["opening"]

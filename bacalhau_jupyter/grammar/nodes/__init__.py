"""``node …``, ``agent …``, ``version`` and ``explain``: what the cluster is made of, and what it means for a job."""

from __future__ import annotations

from bacalhau_jupyter.grammar.nodes import agent, explaining, nodes

__all__ = ["agent", "explaining", "nodes"]

from __future__ import annotations

from tests.services.node_fixtures import node, node_factory

__all__ = ["node", "node_factory"]

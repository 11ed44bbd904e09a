from __future__ import annotations

from tests.services.node_fixtures import node, node_config, node_factory

__all__ = ["node", "node_config", "node_factory"]

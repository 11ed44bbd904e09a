from __future__ import annotations

from tests.engines.images.conftest import shelf
from tests.services.node_fixtures import node, node_config, node_factory

__all__ = ["node", "node_config", "node_factory", "shelf"]

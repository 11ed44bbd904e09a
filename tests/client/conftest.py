from __future__ import annotations

from tests.services.node_fixtures import node_config

__all__ = ["node_config"]

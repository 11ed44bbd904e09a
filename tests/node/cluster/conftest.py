from __future__ import annotations

from tests.services.nats import nats_server
from tests.services.node_fixtures import node, node_config, node_factory

__all__ = ["nats_server", "node", "node_config", "node_factory"]

from __future__ import annotations

import pytest

from tests.services.nats import nats_server
from tests.services.node_fixtures import node, node_config, node_factory
from tests.services.ports import set_default_port

__all__ = ["nats_server", "node", "node_config", "node_factory"]


@pytest.fixture
def own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open clusters at a port of this test's own: they are closed, and opened again at the same port."""
    set_default_port(monkeypatch, "Orchestrator.Port")

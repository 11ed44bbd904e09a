"""IDs that somebody took: the operator frees them, and who uses one loses its connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.orchestrator.store.identities import StoredIdentities
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.transport.memory import MemoryTransport, OrchestratorEnd
from tests.orchestrator.support import Peer, orchestrator


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nodes whose connections were ended; in one process there are none."""
    nodes: list[str] = []

    async def note(end: OrchestratorEnd, node_id: str) -> None:
        nodes.append(node_id)

    monkeypatch.setattr(OrchestratorEnd, "cut", note)
    return nodes


async def test_an_id_that_was_enrolled_and_never_used_is_freed_by_its_whole_name(
    tmp_path: Path, cut: list[str]
) -> None:
    path = tmp_path / "state.sqlite"
    database = await Database.open(path, MIGRATIONS)
    await StoredIdentities(database).put("n-taken", "hash")
    await database.close()
    async with orchestrator(path) as (service, _):
        with pytest.raises(NotFound):
            await service.change_node("n-tak", "delete")
        await service.change_node("n-taken", "delete")
        assert cut == ["n-taken"]
        with pytest.raises(NotFound, match="node not found: n-taken"):
            await service.change_node("n-taken", "delete")
    database = await Database.open(path, MIGRATIONS)
    assert await StoredIdentities(database).get("n-taken") is None
    await database.close()


async def test_a_deleted_node_does_not_stay_connected_under_its_id(cut: list[str]) -> None:
    transport = MemoryTransport()
    async with orchestrator(transport=transport) as (service, _):
        await Peer(transport).join()
        await service.change_node("n-1", "delete")
        assert cut == ["n-1"]

"""Which secrets are kept of nodes: the first of an ID, and none for what has no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.orchestrator.store import identities as kept
from bacalhau_jupyter.orchestrator.store import nodes
from bacalhau_jupyter.orchestrator.store.identities import StoredIdentities
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.transport.server.door.doorkeeper import Admission, Caller, Doorkeeper, Refusal
from tests.orchestrator.support import node_info

OFFICIAL = Caller("192.0.2.1", "n-1", token="t")
ENROLLING = Caller("192.0.2.2", "n-1", user="n-1", password="s" * 40, token="t")


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database.small(MIGRATIONS)
    yield database
    await database.close()


async def enrolled(database: Database, caller: Caller) -> Admission | Refusal:
    """Do what the door does with a connection (`transport.server.door.responder`)."""
    keeper, identities = Doorkeeper("t"), StoredIdentities(database)
    verdict = keeper.decide(caller, await identities.get(caller.node_id))
    if isinstance(verdict, Admission) and verdict.enrolled:
        verdict = keeper.decide(caller, await identities.put(caller.node_id, verdict.enrolled))
    return verdict


@pytest.mark.parametrize("is_known", [True, False])
async def test_who_has_the_token_can_not_take_the_id_of_an_official_node_for_ever(
    database: Database, is_known: bool
) -> None:
    if is_known:
        await database.write(lambda connection: nodes.put(connection, NodeState(info=node_info("n-1"))))
    # The control: an ID that no official node uses is enrolled, and kept from official nodes.
    assert isinstance(await enrolled(database, ENROLLING), Refusal if is_known else Admission)
    assert isinstance(await enrolled(database, OFFICIAL), Admission if is_known else Refusal)


async def test_a_node_of_ours_that_is_known_from_another_link_can_enrol(database: Database) -> None:
    info = replace(node_info("n-1"), jupyter_version="1.0")
    await database.write(lambda connection: nodes.put(connection, NodeState(info=info)))
    assert isinstance(await enrolled(database, ENROLLING), Admission)


async def test_a_deleted_official_node_makes_room_for_one_of_ours(database: Database) -> None:
    await database.write(lambda connection: nodes.put(connection, NodeState(info=node_info("n-1"))))
    await database.write(lambda connection: nodes.delete(connection, "n-1"))
    assert isinstance(await enrolled(database, ENROLLING), Admission)


async def test_secrets_without_a_node_neither_grow_without_end_nor_keep_out_a_new_node(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    identities = StoredIdentities(database)
    info = replace(node_info("n-0"), jupyter_version="1.0")
    await identities.put("n-0", "hash")
    await database.write(lambda connection: nodes.put(connection, NodeState(info=info)))
    for number in range(1, 6):
        assert await identities.put(f"n-{number}", "hash") == "hash"
    # That of a node stays; of the others the latest do.
    kept_ids = [number for number in range(6) if await identities.get(f"n-{number}") is not None]
    assert kept_ids == [0, 4, 5]
    assert await identities.put("n-0", "another") == "hash"


async def test_where_nodes_use_all_of_them_no_further_one_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 1)
    identities = StoredIdentities(database)
    await identities.put("n-0", "hash")
    info = replace(node_info("n-0"), jupyter_version="1.0")
    await database.write(lambda connection: nodes.put(connection, NodeState(info=info)))
    assert await identities.put("n-1", "hash") == ""

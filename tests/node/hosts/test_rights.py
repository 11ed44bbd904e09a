"""Who may do what with hosts: every route and method, for keys with other rights, none, and an unknown one."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from bacalhau_jupyter.api.routes.hosts import HostRoutes
from bacalhau_jupyter.models.records.host_orders import AddHost
from bacalhau_jupyter.node.node import Node
from tests.node.hosts.conftest import MakeConfig
from tests.node.hosts.hostile import HostileEngine, hostile_engine
from tests.services.node import running_node

KEYS = {
    "all": ["*"],
    "reads": ["read:*"],
    "submits": ["read:job", "write:job"],
    "manages": ["read:*", "write:job", "write:node", "write:agent"],
}
ROUTES = sorted((route.method, route.path) for route in HostRoutes(cast(Any, None)).routes())


def key_of(alias: str) -> str:
    return f"a-key-of-{alias}-0123456789"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[HostileEngine]:
    async with hostile_engine(tmp_path) as it:
        yield it


@pytest.fixture
async def node(node_config: MakeConfig) -> AsyncIterator[Node]:
    users = [
        {"Alias": alias, "APIKey": key_of(alias), "Capabilities": [{"Actions": actions}]}
        for alias, actions in KEYS.items()
    ]
    async with running_node(node_config(WebUI__Enabled=False, API__Auth__Users=users)) as it:
        yield it


async def status(node: Node, method: str, path: str, alias: str) -> int:
    headers = {"Authorization": f"Bearer {key_of(alias)}"} if alias else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{node.url}{path.format(name='gpu1')}", json={}) as answer,
    ):
        return answer.status


async def test_only_who_has_all_rights_changes_anything_of_hosts(node: Node, engine: HostileEngine) -> None:
    assert node.hosts is not None
    await node.hosts.add(AddHost(name="gpu1", url=engine.url))
    assert {method for method, _ in ROUTES} == {"GET", "POST"}
    for method, path in ROUTES:
        for alias in KEYS:
            # Whoever may change them has them removed below: that is tried by itself.
            if alias == "all" and method == "POST":
                continue
            got = await status(node, method, path, alias)
            if method == "GET" and alias != "submits":
                # What is a websocket wants to be asked as one.
                allowed = got == (400 if path.endswith("/progress") else 200)
            else:
                allowed = got == 403
            assert allowed, (method, path, alias, got)
    assert len(node.hosts) == 1
    assert not node.hosts.show("gpu1").problem
    for path in ("pause", "resume", "retry", "test", "clean", "remove"):
        assert await status(node, "POST", f"/api/v1/hosts/{{name}}/{path}", "all") == 200, path
    assert len(node.hosts) == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("curl"), reason="only root can be somebody else")
async def test_another_user_of_this_machine_without_a_key_gets_nowhere(node: Node) -> None:
    # Who asks from the node's own account is its owner, with or without a key.
    somebody = (
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "curl",
        "-s",
        "-o",
        "/dev/null",
    )
    for method, path in ROUTES:
        url = f"{node.url}{path.format(name='gpu1')}"
        for key in ("", key_of("nobody")):
            words = ("-w", "%{http_code}", "-X", method, "-H", f"Authorization: Bearer {key}", url)
            asked = await asyncio.create_subprocess_exec(*somebody, *words, stdout=subprocess.PIPE)
            code, _ = await asked.communicate()
            assert code in (b"401", b"403", b"429"), (method, path, key, code)


async def test_a_reader_is_not_told_what_the_owner_could_add(node: Node) -> None:
    for alias in ("reads", "manages"):
        headers = {"Authorization": f"Bearer {key_of(alias)}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{node.url}/api/v1/hosts") as answer,
        ):
            listed = await answer.json()
        assert not listed.get("Aliases")
        assert not listed.get("Contexts")

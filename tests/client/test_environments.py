"""How a client tells a node of its Python, and what it hears when it may not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.client import environments
from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.interpreters import own_python
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.environments import FEATURE, PATH, PythonDescription, environment_hash
from bacalhau_jupyter.models.errors import BadRequest, Forbidden
from bacalhau_jupyter.node.node import Node, running_node

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process engine needs Linux")

MakeConfig = Callable[..., Config]
OTHER = {"Executable": "", "Prefixes": ["/usr"], "Paths": []}


async def told(node: Node, described: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask for a reference with nothing but the address and the key."""

    def ask() -> dict[str, Any]:
        with Client(node.url, api_key=node.key) as client:
            return dict(client.environment(described))

    return await asyncio.to_thread(ask)


async def own_is_known(node: Node) -> None:
    """Wait until the node has registered its own Python, which it does beside everything else."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "own Python"))


def needs_process(node: Node) -> None:
    if "process" not in (node.info().compute_node_info.execution_engines or []):
        pytest.skip("no way to confine a process works here")


async def test_the_reference_is_the_hash_of_the_description(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node:
        needs_process(node)
        assert FEATURE in node.info().features
        name = environment_hash(convert(OTHER, PythonDescription, "x"))
        assert await told(node, OTHER) == {"Environment": name}


async def test_one_client_registers_once_and_again_after_its_node_went_away(
    node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[PythonDescription] = []
    original = environments.RegisteredEnvironments.reference

    async def counted(self: Any, api: Any, info: Any, described: Any) -> Any:
        register = api.register_environment

        async def counting(description: PythonDescription) -> Any:
            calls.append(description)
            return await register(description)

        api.register_environment = counting
        try:
            return await original(self, api, info, described)
        finally:
            del api.register_environment

    monkeypatch.setattr(environments.RegisteredEnvironments, "reference", counted)

    def work(url: str, key: str) -> None:
        with Client(url, api_key=key) as client:
            for _ in range(3):
                client.environment(OTHER)
            assert len(calls) == 1
            client._environments.forget()
            client.environment(OTHER)

    async with running_node(node_config()) as node:
        needs_process(node)
        await asyncio.to_thread(work, node.url, node.key)
    assert len(calls) == 2


async def test_who_has_only_the_key_registers_nothing_and_is_told_the_way_out(
    node_config: MakeConfig,
) -> None:
    async with running_node(node_config(**{"API.TrustLocalUser": False})) as node:
        needs_process(node)
        with pytest.raises(Forbidden, match="a key is not enough") as refused:
            await told(node, OTHER)
        assert "kernel or shell of that user" in refused.value.hint
        assert "\n" not in refused.value.message


async def test_who_has_only_the_key_may_still_use_the_node_s_own_python(node_config: MakeConfig) -> None:
    async with running_node(node_config(**{"API.TrustLocalUser": False})) as node:
        needs_process(node)
        await own_is_known(node)
        own = own_python()
        assert await told(node, own) == {
            "Environment": environment_hash(convert(own, PythonDescription, "x"))
        }


async def test_what_a_node_does_not_show_is_said_so(node_config: MakeConfig, tmp_path: Path) -> None:
    async with running_node(node_config()) as node:
        needs_process(node)
        with pytest.raises(BadRequest, match="it is no Python prefix"):
            await told(node, {**OTHER, "Prefixes": [str(tmp_path)]})


async def test_a_prefix_where_jobs_may_write_by_configuration_is_not_taken(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python3").touch()
    (tmp_path / "env" / "lib" / "python3.11").mkdir(parents=True)
    described = {**OTHER, "Prefixes": [str(tmp_path / "env")]}
    for mode, refused in (("ro", False), ("rw", True)):
        config = node_config(**{"Compute.AllowListedLocalPaths": [f"{tmp_path}/**:{mode}"]})
        async with running_node(config) as node:
            needs_process(node)
            if refused:
                with pytest.raises(BadRequest, match="jobs may write"):
                    await told(node, described)
            else:
                assert "Environment" in await told(node, described)


async def test_a_node_without_a_process_engine_gets_the_description(node_config: MakeConfig) -> None:
    async with running_node(node_config(**{"Engines.Process.Enabled": False})) as node:
        assert await told(node, OTHER) == OTHER
        headers = {"Authorization": f"Bearer {node.key}"}
        async with (
            aiohttp.ClientSession(node.url, headers=headers) as session,
            session.post(PATH, json=OTHER) as answer,
        ):
            assert answer.status == 404


@pytest.mark.parametrize(
    "body",
    ["", "{}", "[]", "7", '{"Prefixes": 7}', '{"Prefixes": ["\\u0000"]}', '{"Prefixes": ["\\ud800"]}', "{"],
)
async def test_a_bad_registration_is_a_400_with_a_sentence(node_config: MakeConfig, body: str) -> None:
    async with running_node(node_config()) as node, aiohttp.ClientSession(node.url) as session:
        needs_process(node)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {node.key}"}
        async with session.post(PATH, data=body, headers=headers) as answer:
            assert answer.status == 400, await answer.text()
            assert (await answer.json())["Message"]


async def test_what_is_registered_is_listed_and_lies_where_only_its_user_can_read(
    node_config: MakeConfig,
) -> None:
    async with running_node(node_config()) as node:
        needs_process(node)
        name = (await told(node, OTHER))["Environment"]

        def listed() -> list[str]:
            with Client(node.url, api_key=node.key) as client:
                return [each.environment for each in client.call(lambda api: api.environments()).environments]

        assert name in await asyncio.to_thread(listed)
        (file,) = node.repo.path.rglob(f"{name}.json")
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_uid == os.getuid()

"""A node with an identity provider: whose tokens it takes, what it tells its clients, and how it fails."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.auth.guesses import GUESSES
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.node import Node
from tests.auth.sso.provider import AUDIENCE, ISSUER, Provider, running_provider, token
from tests.services.node import running_node

API = "/api/v1"
JOBS = f"{API}/orchestrator/jobs"


def section(provider: Provider) -> dict[str, Any]:
    return keyed(
        ProviderID="test",
        ProviderName="Test",
        TokenEndpoint="https://op.test/token",
        JWKSUri=provider.url,
        Issuer=ISSUER,
        DeviceClientID="bacalhau",
        Audience=AUDIENCE,
        Scopes=["openid", "api"],
        DeviceAuthorizationEndpoint="https://op.test/device",
        PollingInterval=1,
    )


def keyed(**values: Any) -> dict[str, Any]:
    return values


def settings(directory: Path, values: Mapping[str, Any], **more: Any) -> Config:
    return Config(
        {
            "DataDir": str(directory),
            "API.Port": 0,
            "Orchestrator.Enabled": True,
            "Compute.Enabled": False,
            "Orchestrator.Link": "off",
            "API.TrustLocalUser": False,
            "WebUI.Enabled": False,
            **{f"API.Auth.Oauth2.{name}": value for name, value in values.items()},
            **more,
        }
    )


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def node(tmp_path: Path, provider: Provider) -> AsyncIterator[Node]:
    async with running_node(settings(tmp_path / "repo", section(provider))) as running:
        yield running


async def ask(node: Node, path: str, bearer: str = "", method: str = "GET") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, node.url + path, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def test_clients_learn_how_to_log_in(node, provider) -> None:
    assert await ask(node, f"{API}/agent/authconfig") == (
        200,
        {"Version": "1.0.0", "Config": section(provider)},
    )


async def test_a_token_opens_what_its_permissions_name(node) -> None:
    reader = token(permissions=["read:job"])
    assert (await ask(node, JOBS, reader))[0] == 200
    status, envelope = await ask(node, f"{API}/orchestrator/nodes", reader)
    assert (status, envelope["Message"]) == (403, "Request Forbidden")
    assert envelope["Details"] == {"reason": "user 'u1' does not have the required capability 'read:node'"}
    assert (await ask(node, f"{JOBS}/x", reader, "DELETE"))[0] == 403
    assert (await ask(node, f"{API}/orchestrator/nodes", token(permissions=["*"])))[0] == 200


async def test_a_wrong_token_is_refused_in_the_official_words(node) -> None:
    for wrong in (token(permissions=["*"], exp=1), token(permissions="*"), "e30.e30."):
        status, envelope = await ask(node, JOBS, wrong)
        assert (status, envelope["Details"]) == (401, {"reason": "invalid JWT token"})


async def test_expired_tokens_lock_nobody_out_after_the_next_login(node) -> None:
    stale = token(exp=1)
    for _ in range(2 * GUESSES):
        assert (await ask(node, JOBS, stale))[0] == 401
    assert (await ask(node, JOBS, token()))[0] == 200


async def test_the_node_s_own_key_goes_on_working(node) -> None:
    assert (await ask(node, JOBS, node.key))[0] == 200
    assert (await ask(node, JOBS, "another key"))[1]["Details"] == {"reason": "invalid API key"}


async def test_a_provider_that_is_down_keeps_no_node_from_starting(tmp_path, caplog) -> None:
    async with running_provider() as gone:
        pass
    with caplog.at_level(logging.WARNING):
        async with running_node(settings(tmp_path / "repo", section(gone))) as running:
            status, envelope = await ask(running, JOBS, token())
            assert (await ask(running, JOBS, running.key))[0] == 200
    assert (status, envelope["Details"]) == (401, {"reason": "invalid JWT token"})
    assert len([record for record in caplog.records if gone.url in record.getMessage()]) == 1


@pytest.mark.parametrize("missing", ["ProviderID", "Audience", "JWKSUri", "Issuer", "DeviceClientID"])
async def test_a_node_does_not_start_with_half_of_it(tmp_path, provider, missing) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        async with running_node(settings(tmp_path / "repo", section(provider) | {missing: ""})):
            pass


async def test_a_node_without_the_library_says_what_to_install(tmp_path, provider, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigurationError, match="PyJWT") as refusal:
        async with running_node(settings(tmp_path / "repo", section(provider))):
            pass
    assert "bacalhau-jupyter[auth]" in (refusal.value.hint or "")


async def test_users_and_tokens_work_side_by_side_and_login_methods_are_gone(tmp_path, provider) -> None:
    users = [{"Alias": "ci", "APIKey": "k" * 20, "Capabilities": [{"Actions": ["read:node"]}]}]
    config = settings(tmp_path / "repo", section(provider), **{"API.Auth.Users": users})
    async with running_node(config) as running:
        assert (await ask(running, f"{API}/orchestrator/nodes", "k" * 20))[0] == 200
        assert (await ask(running, JOBS, token()))[0] == 200
        assert (await ask(running, JOBS, "k" * 20))[0] == 403
        assert await ask(running, f"{API}/auth") == (200, {"NextToken": "", "Methods": {}})


async def test_users_alone_refuse_tokens_in_the_official_words(tmp_path) -> None:
    users = [{"Alias": "ci", "APIKey": "k" * 20, "Capabilities": [{"Actions": ["*"]}]}]
    async with running_node(settings(tmp_path / "repo", {}, **{"API.Auth.Users": users})) as running:
        status, envelope = await ask(running, JOBS, token())
    reason = "OAuth2 authentication not configured on server"
    assert (status, envelope["Details"]) == (401, {"reason": reason})

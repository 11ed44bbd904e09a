"""Users of the node on its web page: their session has their capabilities, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bacalhau_jupyter.api.page.webui import LOGIN_GUESSES, SESSION
from bacalhau_jupyter.config.config import Config
from tests.node.test_node import noop
from tests.node.test_webui import JOBS, MakeConfig, built, log_in, page

__all__ = ["built"]

ADA, RON_KEY = "a password of ada", "a-long-key-of-ron-0123"
USERS: list[dict[str, Any]] = [
    {"Username": "Ada", "Password": ADA, "Capabilities": [{"Actions": ["read:job", "write:job"]}]},
    {"Alias": "ron", "APIKey": RON_KEY, "Capabilities": [{"Actions": ["read:job"]}]},
]
NODES = "/api/v1/orchestrator/nodes"


@pytest.fixture
def users_config(node_config: MakeConfig) -> Config:
    return node_config(WebUI__Enabled=True, WebUI__Listen="127.0.0.1:0", API__Auth__Users=USERS)


async def test_a_session_has_the_capabilities_of_whoever_logged_in(built: Any, users_config: Config) -> None:
    async with page(users_config) as (node, url, session):
        own = {"Origin": url}
        assert await log_in(session, url, username="ada", password=ADA) == 200
        async with session.get(url + SESSION) as answer:
            assert await answer.json() == {
                "Authenticated": True,
                "User": "Ada",
                "Capabilities": ["read:job", "write:job"],
            }
        async with session.put(url + JOBS, json=noop(), headers=own) as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(url + NODES) as answer:
            assert answer.status == 403
            reason = "user 'Ada' does not have the required capability 'read:node'"
            assert (await answer.json())["Details"] == {"reason": reason}
        # A credential in the header decides before the session.
        async with session.get(url + NODES, headers={"Authorization": f"Bearer {node.key}"}) as answer:
            assert answer.status == 200
        assert await log_in(session, url, key=RON_KEY) == 200
        async with session.get(url + JOBS) as answer:
            assert answer.status == 200
        async with session.put(url + JOBS, json=noop(), headers=own) as answer:
            assert answer.status == 403
        async with session.delete(url + "/api/v1/compute/results", headers=own) as answer:
            assert answer.status == 403
        assert await log_in(session, url, key=node.key) == 200
        async with session.get(url + NODES) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"username": "ada", "password": "wrong"},
        {"username": "ada"},
        {"username": "eve", "password": ADA},
        {"username": "ron", "password": RON_KEY},
        {"key": ADA},
        {"key": "e30.e30.c2ln"},
        {"password": ADA},
        {},
    ],
)
async def test_other_words_open_no_session(built: Any, users_config: Config, body: dict[str, str]) -> None:
    async with page(users_config) as (_, url, session):
        assert await log_in(session, url, **body) == 401
        async with session.get(url + SESSION) as answer:
            assert answer.status == 401


async def test_guesses_at_the_same_time_are_few(built: Any, users_config: Config) -> None:
    async with page(users_config) as (_, url, session):
        tries = (
            log_in(session, url, username="ada", password=f"guess {i}") for i in range(4 * LOGIN_GUESSES)
        )
        statuses = await asyncio.gather(*tries)
        assert statuses.count(401) == LOGIN_GUESSES
        assert statuses.count(429) == 3 * LOGIN_GUESSES

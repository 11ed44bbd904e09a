"""Log in from the panel: what a person types goes to the cluster, a link and a code come back, the token never does."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from aiohttp import web

from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from tests.server.conftest import Cluster, Jupyter, Starter
from tests.server.test_connections import status_with
from tests.services.node_fixtures import NodeFactory
from tests.services.oidc import IdentityProvider, confirm

STRICT = "--config=API.TrustLocalUser=false"


async def call(jupyter: Jupyter, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    async with jupyter.request(method, path, json=body) as answer:
        text = await answer.text()
        assert answer.status == status, text
        assert answer.headers.get("Cache-Control", "no-store") == "no-store"
        assert "eyJ" not in text
        return json.loads(text)


async def end_of(jupyter: Jupyter, login: Any, status: int = 200) -> Any:
    """Ask how a login ended, as the panel does: again while nobody has confirmed its code."""
    async with asyncio.timeout(60):
        while True:
            async with jupyter.request("GET", f"/login/codes/{login['id']}") as answer:
                said = await answer.json()
                if said != {"done": False}:
                    assert answer.status == status, said
                    return said


def use(repo: Repo, url: str, token: str = "") -> ProfileStore:
    store = ProfileStore(repo.profiles_dir)
    store.save("team", Profile(endpoint=url, token=token))
    store.select("team")
    return store


async def test_an_expired_login_is_renewed_with_a_link_and_a_code(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory, identity_provider: IdentityProvider
) -> None:
    node = await asyncio.to_thread(node_factory, *identity_provider.options(), STRICT)
    store = use(own_node, node.url, "e30.e30.expired")
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    await status_with(jupyter, refused=True)
    assert await call(jupyter, "GET", "/login") == {"url": node.url, "provider": "Test OP", "methods": []}
    login = await call(jupyter, "POST", "/login/codes")
    assert set(login) == {"id", "code", "url", "complete_url", "expires_s"}
    waiting = asyncio.create_task(end_of(jupyter, login))
    await asyncio.to_thread(confirm, login["complete_url"], "ada")
    assert await waiting == {"done": True}
    await status_with(jupyter, alive=True, refused=False)
    assert store.load("team").token.startswith("eyJ")
    assert await call(jupyter, "DELETE", "/login") == {"done": True}
    await status_with(jupyter, refused=True)
    assert store.load("team").token == ""


async def test_a_refusal_comes_back_in_the_provider_s_words_and_not_as_jupyter_s_401(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory, identity_provider: IdentityProvider
) -> None:
    node = await asyncio.to_thread(node_factory, *identity_provider.options(), STRICT)
    use(own_node, node.url)
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    login = await call(jupyter, "POST", "/login/codes")
    await asyncio.to_thread(confirm, login["complete_url"], "ada", refuse=True)
    refused = await end_of(jupyter, login, status=400)
    assert "End-User aborted interaction" in refused["Message"]
    # A login that another one has replaced, or that was given up, is none.
    first, second = [await call(jupyter, "POST", "/login/codes") for _ in range(2)]
    assert (await call(jupyter, "GET", f"/login/codes/{first['id']}", status=404))["Code"] == "NotFound"
    await call(jupyter, "DELETE", f"/login/codes/{second['id']}")
    await call(jupyter, "GET", f"/login/codes/{second['id']}", status=404)


async def test_a_cluster_with_users_only_offers_no_login_and_is_no_error(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    users = json.dumps([{"Alias": "ci", "APIKey": "k" * 20, "Capabilities": [{"Actions": ["*"]}]}])
    node = await asyncio.to_thread(node_factory, f"--config=API.Auth.Users={users}", STRICT)
    use(own_node, node.url)
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    assert await call(jupyter, "GET", "/login") == {"url": node.url, "provider": "", "methods": []}
    await status_with(jupyter, problem=f"{node.url} does not accept requests without a credential")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"method": 7}', b'{"method": "a", "more": 1}', b"[" * 60_000, b" " * 70_000]
)
async def test_what_is_no_login_is_refused_without_being_repeated(
    start_jupyter: Starter, own_node: Repo, body: bytes
) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    async with jupyter.request("POST", "/login", data=body) as answer:
        assert answer.status in (400, 413)
        assert (await answer.json())["Message"] in ("the login can't be read", "the body is too long")


SCHEMA = {
    "type": "object",
    "properties": {"person": {"type": "string"}, "word": {"type": "string", "writeOnly": True}, "note": {}},
    "required": ["person", "word"],
}


def asking(cluster: Cluster, schema: Any = None) -> list[Any]:
    """Let a cluster ask for a word; returns the answers that it gets."""
    answers: list[Any] = []

    async def config(_: web.Request) -> web.StreamResponse:
        return web.json_response({"Version": "1.0.0", "Config": {}})

    async def methods(_: web.Request) -> web.StreamResponse:
        word = {"type": "ask", "params": SCHEMA if schema is None else schema}
        other = {"type": "unheard-of", "params": {}}
        return web.json_response({"NextToken": "", "Methods": {"the word": word, "other": other}})

    async def exchange(request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers
        answers.append(json.loads(base64.b64decode((await request.json())["MethodData"])))
        is_right = answers[-1].get("word") == "open sesame"
        result = (
            {"success": True, "token": "token-1"}
            if is_right
            else {"success": False, "reason": "no such word"}
        )
        return web.json_response({"Authentication": result}, status=200 if is_right else 401)

    cluster.answers |= {
        "/api/v1/agent/authconfig": config,
        "/api/v1/auth": methods,
        "/api/v1/auth/the word": exchange,
    }
    return answers


async def test_the_fields_are_those_of_the_cluster_and_what_is_typed_goes_there(
    start_jupyter: Starter, own_node: Repo, cluster: Cluster
) -> None:
    answers = asking(cluster)
    store = use(own_node, cluster.url, "expired")
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    described = await call(jupyter, "GET", "/login")
    fields = [{"name": "person", "secret": False}, {"name": "word", "secret": True}]
    assert described["methods"] == [{"name": "the word", "kind": "ask", "fields": fields}]
    typed = {"person": "ali", "word": "close sesame", "invented": "x"}
    refused = await call(jupyter, "POST", "/login", {"method": "the word", "answers": typed}, status=400)
    assert refused["Message"] == "login failed: no such word"
    assert store.load("team").token == "expired"
    typed["word"] = "open sesame"
    assert await call(jupyter, "POST", "/login", {"method": "the word", "answers": typed}) == {"done": True}
    assert answers == [{"person": "ali", "word": word} for word in ("close sesame", "open sesame")]
    assert store.load("team").token == "token-1"
    path = own_node.path / "tokens.json"
    assert json.loads(path.read_text()) == {cluster.url: "token-1"}
    assert path.stat().st_mode & 0o777 == 0o600
    await call(jupyter, "POST", "/login", {"method": "other", "answers": {}}, status=404)


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a"]},
        {"required": ["a"], "properties": {"a": {"type": "object"}}},
        {"required": [7], "properties": {}},
        {"required": "a", "properties": {"a": {"type": "string"}}},
        {"required": ["a\u202eb"], "properties": {"a\u202eb": {"type": "string"}}},
        {"required": [str(number) for number in range(21)], "properties": {}},
    ],
    ids=["undescribed", "object", "number", "text", "direction mark", "too many"],
)
async def test_a_login_that_can_t_be_shown_is_one_sentence(
    start_jupyter: Starter, own_node: Repo, cluster: Cluster, schema: Any
) -> None:
    asking(cluster, schema)
    use(own_node, cluster.url)
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    refused = await call(jupyter, "GET", "/login", status=502)
    assert refused["Message"].startswith("this cluster's login can't be shown")

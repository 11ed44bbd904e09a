"""Saved connections: kept as the official CLI keeps them, switched under running panels, never telling a token."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from tests.server.conftest import Jupyter, Starter, nodes_of
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import until

JOBS = "/api/v1/orchestrator/jobs"
NOOP = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}


async def call(jupyter: Jupyter, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    async with jupyter.request(method, path, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def status_with(jupyter: Jupyter, **members: Any) -> Any:
    """Return the status once it has these members: a cluster that is slow to answer is one that did not, for now."""
    status: dict[str, Any] = {}

    async def has_them() -> bool:
        status.update(await call(jupyter, "GET", "/status"))
        return status | members == status

    try:
        await until(has_them, 60)
    except TimeoutError:
        raise AssertionError(f"{members} is not in {status}") from None
    return status


async def test_a_switch_takes_panel_kernels_and_lease_to_the_other_cluster_and_back(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    other = await asyncio.to_thread(node_factory)
    jupyter = await start_jupyter(
        BacalhauApp={"grace_period": "1s", "node_options": ["--api-port=0"]},
    )
    mine = (await status_with(jupyter, alive=True))["cluster"]["url"]
    await until(lambda: nodes_of(own_node))
    saved = await call(
        jupyter, "PUT", "/connections", {"name": "other", "endpoint": other.url, "token": other.key}
    )
    assert saved["current"] == ""
    assert [item["name"] for item in saved["connections"]] == ["other"]
    async with jupyter.ws("/api/v1/orchestrator/events") as events:
        assert (await call(jupyter, "PUT", "/connections/current", {"name": "other"}))["current"] == "other"
        # Whoever watched the old cluster is told to look again.
        async with asyncio.timeout(60):
            assert (await events.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert events.close_code == 1001
    status = await status_with(jupyter, alive=True)
    assert status["cluster"] == {"url": other.url, "source": "profile other", "embedded": False}
    job = await call(
        jupyter, "PUT", f"/api{JOBS[4:]}", {"Job": {"Type": "batch", "Count": 1, "Tasks": [NOOP]}}
    )
    # Kernels and shells of this repo directory ask the same cluster.
    endpoint = resolve_endpoint(own_node)
    assert endpoint is not None and endpoint.url == other.url
    # Without our lease the idle node of this machine ends; back again, it is started again.
    await until(lambda: not nodes_of(own_node))
    await call(jupyter, "PUT", "/connections/current", {"name": ""})
    status = await status_with(jupyter, alive=True)
    assert status["cluster"]["embedded"] is True and status["cluster"]["url"] != other.url
    listed = await call(jupyter, "GET", f"/api{JOBS[4:]}?namespace=*")
    assert job["JobID"] not in [item["ID"] for item in listed["Items"]]
    assert mine != other.url
    await until(lambda: jupyter.gateway.activity.active_jobs is not None)


async def test_a_token_goes_in_and_never_comes_out_nor_to_another_server(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    other = await asyncio.to_thread(node_factory, "--config=API.TrustLocalUser=false")
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    connection = {"name": "prod", "endpoint": other.url, "token": other.key}
    tested = await call(jupyter, "POST", "/connections/test", {**connection, "token": "wrong"})
    assert tested["ok"] is False and "does not accept this API key" in tested["problem"]
    assert (await call(jupyter, "POST", "/connections/test", connection))["nodes"] == 1
    saved = await call(jupyter, "PUT", "/connections", connection)
    assert other.key not in str(saved)
    assert saved["connections"][0]["has_token"] is True
    # The saved token is used for the saved endpoint only.
    assert (await call(jupyter, "POST", "/connections/test", {**connection, "token": ""}))["ok"] is True
    elsewhere = other.url.replace("127.0.0.1", "localhost")
    tested = await call(
        jupyter, "POST", "/connections/test", {**connection, "endpoint": elsewhere, "token": ""}
    )
    assert tested["ok"] is False
    assert ProfileStore(own_node.profiles_dir).load("prod").token == other.key


async def test_a_user_and_his_password_stay_with_a_connection_that_is_saved_here_and_go_nowhere_else(
    start_jupyter: Starter, own_node: Repo
) -> None:
    store = ProfileStore(own_node.profiles_dir)
    store.save("prod", Profile("http://127.0.0.1:9", user="me", password="hush"))
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    changed = {"name": "prod", "endpoint": "http://127.0.0.1:9", "description": "d"}
    answer = await call(jupyter, "PUT", "/connections", changed)
    assert "hush" not in str(answer)
    assert store.load("prod") == Profile("http://127.0.0.1:9", description="d", user="me", password="hush")
    await call(jupyter, "PUT", "/connections", {**changed, "endpoint": "http://127.0.0.1:8"})
    assert store.load("prod") == Profile("http://127.0.0.1:8", description="d")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "/connections", {"name": "", "endpoint": "h:1"}, 400, "needs a name"),
        ("PUT", "/connections", {"name": "../x", "endpoint": "h:1"}, 400, "not a name"),
        ("PUT", "/connections", {"name": "x", "endpoint": ""}, 400, "endpoint"),
        ("PUT", "/connections", {"name": "x", "endpoint": "ftp://h"}, 400, "http or https only"),
        ("PUT", "/connections", {"name": "x", "endpoint": "h:1", "timeout": "soon"}, 400, "timeout"),
        ("PUT", "/connections", {"nome": "x"}, 400, "can't be read"),
        ("PUT", "/connections/current", {"name": "nobody"}, 404, "not found"),
        ("DELETE", "/connections/saved/nobody", None, 404, "not found"),
        ("POST", "/connections/test", [], 400, "can't be read"),
    ],
)
async def test_nonsense_is_refused_in_one_sentence(
    start_jupyter: Starter, own_node: Repo, method: str, path: str, body: Any, status: int, message: str
) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    assert message in (await call(jupyter, method, path, body, status))["Message"]


async def test_a_cluster_named_in_the_environment_stays_and_the_answer_names_the_variable(
    jupyter: Jupyter,
) -> None:
    assert (await call(jupyter, "GET", "/connections"))["fixed_by"] == "BACALHAU_API_HOST"
    answer = await call(jupyter, "PUT", "/connections/current", {"name": ""}, 409)
    assert "BACALHAU_API_HOST" in answer["Message"]


async def test_the_used_connection_can_not_be_removed_and_another_can(
    start_jupyter: Starter, own_node: Repo
) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    for name in ("a", "b"):
        await call(jupyter, "PUT", "/connections", {"name": name, "endpoint": "127.0.0.1:9"})
    await call(jupyter, "PUT", "/connections/current", {"name": "a"})
    await call(jupyter, "DELETE", "/connections/saved/a", status=409)
    left = await call(jupyter, "DELETE", "/connections/saved/b")
    assert [item["name"] for item in left["connections"]] == ["a"]
    status = await call(jupyter, "GET", "/status")
    assert status["alive"] is False and status["problem"]


async def test_a_saved_token_that_the_cluster_refuses_is_the_problem_that_the_status_names(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    other = await asyncio.to_thread(node_factory, "--config=API.TrustLocalUser=false")
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    connection = {"name": "prod", "endpoint": other.url, "token": "wrong"}
    await call(jupyter, "PUT", "/connections", connection)
    await call(jupyter, "PUT", "/connections/current", {"name": "prod"})
    status = await status_with(jupyter, refused=True, alive=False)
    assert status["problem"] == f"{other.url} does not accept the saved token"
    await call(jupyter, "PUT", "/connections", {**connection, "token": other.key})
    await call(jupyter, "PUT", "/connections/current", {"name": "prod"})
    await status_with(jupyter, alive=True, refused=False, problem="")


@pytest.mark.parametrize(
    "name",
    [
        "a" * 300,
        "é" * 100,
        "a/b",
        "..",
        ".hidden",
        "a\\b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "a\x1b[2J",
        "a\0b",
        "",
        " ",
    ],
)
async def test_a_name_that_no_file_can_have_is_refused_everywhere(start_jupyter: Starter, name: str) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    saved = {"name": name, "endpoint": "http://127.0.0.1:1"}
    refusal = await call(jupyter, "PUT", "/connections", saved, 400)
    assert "name" in refusal["Message"] and len(refusal["Message"]) < 250
    assert refusal["Message"].isprintable()
    if name.strip():
        await call(jupyter, "PUT", "/connections/current", {"name": name}, 400)
    if name and not {"/", "\0"} & set(name) and name != "..":
        async with jupyter.request("DELETE", f"/connections/saved/{quote(name, safe='')}") as answer:
            assert answer.status in (400, 404)
    assert (await call(jupyter, "GET", "/connections"))["connections"] == []


@pytest.mark.parametrize("name", ["größe ✓", "a b", "CON", "current", "x" * 150, "-rf", "*", "a.yaml"])
async def test_any_other_name_works(start_jupyter: Starter, name: str) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    await call(jupyter, "PUT", "/connections", {"name": name, "endpoint": "http://127.0.0.1:1"})
    assert [item["name"] for item in (await call(jupyter, "GET", "/connections"))["connections"]] == [name]
    async with jupyter.request("DELETE", f"/connections/saved/{quote(name, safe='')}") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "endpoint", ["http://me:hushhush@host:1/", "me:hushhush@host", "https://hushhush@host"]
)
async def test_a_password_in_an_endpoint_is_refused_and_never_repeated(
    start_jupyter: Starter, own_node: Repo, endpoint: str
) -> None:
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    for method, path in (("PUT", "/connections"), ("POST", "/connections/test")):
        answer = await call(jupyter, method, path, {"name": "x", "endpoint": endpoint}, 400)
        assert "holds a user or a password" in answer["Message"]
        assert "hushhush" not in str(answer)
    # One that was written by hand is used as it is, and shown without.
    ProfileStore(own_node.profiles_dir).save("old", Profile(endpoint=endpoint))
    assert "hushhush" not in str(await call(jupyter, "GET", "/connections"))


async def test_an_encrypted_cluster_is_reached_by_its_authority_in_requests_and_streams(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    other = await asyncio.to_thread(node_factory, "--config=API.TLS.SelfSigned=true")
    jupyter = await start_jupyter(BacalhauApp={"autostart": False})
    connection = {"name": "own", "endpoint": other.url, "token": other.key}
    unknown = await call(jupyter, "POST", "/connections/test", connection)
    assert "by an authority that this client does not know" in unknown["problem"]
    plain = {**connection, "endpoint": other.url.replace("https", "http")}
    assert (await call(jupyter, "POST", "/connections/test", plain))["problem"] == (
        f"{plain['endpoint']} speaks HTTPS, not HTTP"
    )
    missing = await call(jupyter, "PUT", "/connections", {**connection, "ca_file": "/no/such.pem"}, 400)
    assert "can't be used: No such file" in missing["Message"]
    trusted = {**connection, "ca_file": str(other.repo.tls_dir / "ca.pem")}
    assert (await call(jupyter, "POST", "/connections/test", trusted))["ok"] is True
    saved = await call(jupyter, "PUT", "/connections", trusted)
    assert saved["connections"][0]["ca_file"] == trusted["ca_file"]
    await call(jupyter, "PUT", "/connections/current", {"name": "own"})
    async with jupyter.ws("/api/v1/orchestrator/events?since=0") as events:
        order = {"Job": {"Type": "batch", "Count": 1, "Tasks": [NOOP]}}
        job = await call(jupyter, "PUT", f"/api{JOBS[4:]}", order)
        assert job["JobID"] in await events.receive_str(timeout=60)

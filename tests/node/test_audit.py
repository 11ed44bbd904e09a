"""What a node with users writes down: every change, every refusal, who did it, and no secret."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.api.app import build_app
from bacalhau_jupyter.api.page.webui import LOGIN, LOGOUT
from bacalhau_jupyter.auth.audit.verbs import ACTS
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.node.settings import hidden_paths
from tests.node.test_node import JOBS, MakeConfig, client, noop, run
from tests.node.test_webui import built, log_in, page
from tests.services.node import running_node

__all__ = ["built"]

ADA_KEY, RON_KEY, PASSWORD = "a-long-key-of-ada-012345", "a-long-key-of-ron-012345", "pass word of eve"
USERS: list[dict[str, Any]] = [
    {"Alias": "ada", "APIKey": ADA_KEY, "Capabilities": [{"Actions": ["*"]}]},
    {"Alias": "ron", "APIKey": RON_KEY, "Capabilities": [{"Actions": ["read:job"]}]},
    {"Username": "eve", "Password": PASSWORD, "Capabilities": [{"Actions": ["read:*", "write:job"]}]},
]
UPLOADS = "/api/v1/orchestrator/uploads"
NODES = "/api/v1/orchestrator/nodes"


@pytest.fixture
def users_config(node_config: MakeConfig) -> Config:
    # Without the trusted socket each call is what its credential says.
    return node_config(API__Auth__Users=USERS, API__TrustLocalUser=False)


def written(node: Node) -> list[dict[str, Any]]:
    file = node.repo.path / "audit" / "audit.jsonl"
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def told(line: dict[str, Any]) -> tuple[str, str, str, str]:
    return line["principal"], line["verb"], line["object"], line["outcome"]


@asynccontextmanager
async def caller(node: Node, key: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(node.url, headers={"Authorization": f"Bearer {key}"}) as session:
        yield session


def changing_routes(node: Node) -> list[tuple[str, str]]:
    """Return method and declared path of every route of a running node whose method may change something."""
    services = node.page._ui._services if node.page else None
    assert services is not None
    return sorted(
        (route.method, route.resource.canonical)
        for route in build_app(services).router.routes()
        if route.resource is not None and route.method not in ("GET", "HEAD", "OPTIONS")
    )


async def test_every_changing_route_leaves_a_line(built: Any, node_config: MakeConfig) -> None:
    """Nobody adds one that leaves none: this walks what the node really serves."""
    config = node_config(
        API__Auth__Users=USERS,
        API__TrustLocalUser=False,
        WebUI__Enabled=True,
        WebUI__Listen="127.0.0.1:0",
    )
    async with running_node(config) as node, caller(node, ADA_KEY) as session:
        routes = changing_routes(node)
        assert len(routes) > 15
        for method, route in routes:
            before = len(written(node))
            path = re.sub(r"\{[^}]+\}", "x-1", route)
            async with session.request(method, path, json={}) as answer:
                status = answer.status
            lines = written(node)[before:]
            if route.endswith("/jobs/diff"):
                assert lines == []
                continue
            assert len(lines) == 1, (method, route, lines)
            (line,) = lines
            assert (line["verb"], line["object"]) == ACTS[method, route], (method, route)
            # Whoever logs in is not known yet, and a link to send a result by is its own credential.
            is_open = "/auth/" in route or route == "/api/v1/compute/results/{name}"
            assert line["principal"] == ("unknown" if is_open else "key:ada")
            assert line["status"] == status
            assert line["request"] == answer.headers["X-Request-Id"]


async def test_a_jobs_life_says_who_did_what_and_reading_says_nothing(users_config: Config) -> None:
    async with running_node(users_config) as node, caller(node, ADA_KEY) as ada, client(node) as owner:
        body = noop()
        body["Job"]["Name"] = "tr\u202eain"
        job = await run(ada, body)
        for path in ("", f"/{job}", f"/{job}/history"):
            async with ada.get(JOBS + path) as answer:
                assert answer.status == 200
        async with owner.put(f"{JOBS}/{job[:12]}/rerun", json={}) as answer:
            assert answer.status == 200
        async with owner.delete(f"{JOBS}/{job[:12]}") as answer:
            assert answer.status in (200, 409)
        lines = written(node)
        async with ada.get(f"{JOBS}/{job}/history?all_job_versions=true") as answer:
            events = [item["Event"] for item in (await answer.json())["Items"]]
    assert [told(line)[:3] for line in lines] == [
        ("key:ada", "submit", "job"),
        ("owner", "run again", "job"),
        ("owner", "stop", "job"),
    ]
    assert {(line["id"], line["name"]) for line in lines} == {(job, r"tr\u202eain")}
    assert {line["from"] for line in lines} <= {"own user", "this machine"}
    # The same people stand in the job's history.
    who = [event["Details"]["Principal"] for event in events if "Principal" in event.get("Details", {})]
    assert who[:2] == ["key:ada", "owner"]


async def test_a_refusal_is_written_once_a_minute_for_each_caller(users_config: Config) -> None:
    async with (
        running_node(users_config) as node,
        caller(node, RON_KEY) as ron,
        caller(node, "w" * 30) as nobody,
    ):
        for _ in range(3):
            async with ron.put(JOBS, json=noop()) as answer:
                assert answer.status == 403
            async with ron.get(NODES) as answer:
                assert answer.status == 403
            async with nobody.get(JOBS) as answer:
                assert answer.status == 401
        for _ in range(30):
            async with nobody.put(JOBS, json=noop()) as answer:
                assert answer.status in (401, 429)
        lines = written(node)
    assert [(*told(line), line["status"], line.get("needs")) for line in lines] == [
        ("key:ron", "submit", "job", "refused", 403, "write:job"),
        ("key:ron", "read", NODES, "refused", 403, "read:node"),
        ("unknown", "read", JOBS, "refused", 401, None),
        ("unknown", "submit", "job", "refused", 429, None),
    ]


async def test_nodes_uploads_and_clean_up(users_config: Config) -> None:
    async with running_node(users_config) as node, caller(node, ADA_KEY) as ada, caller(node, RON_KEY) as ron:
        async with ada.put(
            f"{NODES}/{node.node_id}", json={"Action": "reject", "Message": "secret-m"}
        ) as answer:
            assert answer.status == 200
        async with ada.put(f"{NODES}/{node.node_id}", json={"Action": "frob"}) as answer:
            assert answer.status == 400
        async with ada.post(UPLOADS, json={"Name": "data.csv", "Size": 3}) as answer:
            upload = (await answer.json())["UploadID"]
        async with ada.put(f"{UPLOADS}/{upload}", data=b"abc") as answer:
            assert answer.status == 200
        async with ada.delete(UPLOADS) as answer:
            assert answer.status == 200
        async with ron.delete("/api/v1/compute/results?older_than=5") as answer:
            assert answer.status == 403
        lines = written(node)
    assert [(*told(line), line.get("name", "")) for line in lines] == [
        ("key:ada", "reject", "node", "done", ""),
        ("key:ada", "change", "node", "failed", ""),
        ("key:ada", "begin", "upload", "done", "data.csv"),
        ("key:ada", "send", "upload", "done", ""),
        ("key:ada", "clear", "uploads", "done", ""),
        ("key:ron", "clear", "results", "refused", ""),
    ]
    assert lines[2]["id"] == lines[3]["id"] == upload


async def test_the_page_leaves_logins_logouts_and_what_is_done_on_it(
    built: Any, node_config: MakeConfig
) -> None:
    config = node_config(WebUI__Enabled=True, WebUI__Listen="127.0.0.1:0", API__Auth__Users=USERS)
    async with page(config) as (node, url, session):
        own = {"Origin": url}
        assert await log_in(session, url, username="eve", password="wrong password") == 401
        assert await log_in(session, url, username="eve", password=PASSWORD) == 200
        async with session.put(url + JOBS, json=noop(), headers=own) as answer:
            assert answer.status == 200
        async with session.put(url + JOBS, json=noop(), headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 403
        async with session.get(url + LOGIN) as answer:
            assert answer.status == 200
        async with session.post(url + LOGOUT, headers=own) as answer:
            assert answer.status == 200
        lines = written(node)
    assert [(*told(line), line["from"]) for line in lines] == [
        ("unknown", "log in", "session", "refused", "web page"),
        ("user:eve", "log in", "session", "done", "web page"),
        ("user:eve", "submit", "job", "done", "web page"),
        ("unknown", "submit", "job", "refused", "web page"),
        ("user:eve", "log out", "session", "done", "web page"),
    ]
    assert all(line["caller"].startswith(("uid ", "127.0.0.1")) for line in lines)


async def test_no_secret_and_no_body_is_written(
    built: Any, node_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = node_config(WebUI__Enabled=True, WebUI__Listen="127.0.0.1:0", API__Auth__Users=USERS)
    secrets = [ADA_KEY, PASSWORD, "s3cr3t-env", "s3cr3t-query", "s3cr3t-bearer-0123456789", "s3cr3t-basic"]
    async with page(config) as (node, url, session), caller(node, ADA_KEY) as ada:
        await log_in(session, url, key=ADA_KEY)
        await log_in(session, url, username="eve", password=PASSWORD)
        job = noop(Env={"TOKEN": "s3cr3t-env"})
        async with ada.put(f"{JOBS}?token=s3cr3t-query", json=job) as answer:
            assert answer.status == 200
        for header in ("Bearer s3cr3t-bearer-0123456789", "Basic ZXZlOnMzY3IzdC1iYXNpYw=="):
            async with session.get(
                node.url + JOBS, headers={"Authorization": header, "X-Forwarded-For": "1.2.3.4"}
            ):
                pass
        async with session.get(
            node.url + "/api/v1/compute/results/x.tar.gz?signature=s3cr3t-query&expires=1"
        ):
            pass
        text = (node.repo.path / "audit" / "audit.jsonl").read_text() + caplog.text
    assert "log in" in text and "submit" in text
    assert [secret for secret in [*secrets, "ZXZlOnMzY3IzdC1iYXNpYw"] if secret in text] == []


async def test_a_node_that_only_its_owner_reaches_writes_nothing(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        await run(session, noop())
        assert not (node.repo.path / "audit").exists()


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_the_key_decides_and_the_directory_is_chosen(
    node_config: MakeConfig, tmp_path: Path, enabled: str
) -> None:
    directory = tmp_path / "kept" / "there"
    users = [] if enabled == "true" else USERS
    config = node_config(
        API__Audit__Enabled=enabled,
        API__Audit__Directory=str(directory),
        API__Audit__MaxSize=4096,
        API__Audit__MaxFiles=1,
        API__Auth__Users=users,
    )
    async with running_node(config) as node, client(node) as session:
        for _ in range(30):
            async with session.put(JOBS, json=noop()) as answer:
                assert answer.status == 200
    names = sorted(file.name for file in directory.iterdir()) if directory.exists() else []
    assert names == (["audit.jsonl", "audit.jsonl.1"] if enabled == "true" else [])
    assert all((directory / name).stat().st_size <= 4096 for name in names)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"API__Audit__Directory": "/proc/nothing"},
            "the audit log /proc/nothing/audit.jsonl can't be written",
        ),
        ({"API__Audit__MaxSize": 10}, "API.Audit.MaxSize must be 4096 or more"),
        ({"API__Audit__MaxFiles": -1}, "API.Audit.MaxFiles 0 or more"),
    ],
)
async def test_a_log_that_can_not_be_kept_is_refused_at_the_start(
    node_config: MakeConfig, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        async with running_node(node_config(API__Audit__Enabled="true", **values)):
            pass


async def test_a_job_never_sees_the_log(users_config: Config) -> None:
    async with running_node(users_config) as node:
        assert node.repo.path / "audit" in hidden_paths(node.config, node.repo)

"""Users, keys and capabilities over a real node, against what the official node answered (``tests/data``)."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import pytest_asyncio
from yarl import URL

from bacalhau_jupyter.auth.guesses import GUESS_WINDOW_S
from bacalhau_jupyter.config.config import Config
from tests.clock import ManualClock
from tests.services.node import running_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAPTURES = Path(__file__).parents[1] / "data" / "trust-captures"
PLAIN, HASHED = "0123456789", "correct horse battery"
NO_ALIAS = "0123456789-no-alias-abcdef"
DIGITS_KEY = "12345678901234567890"


def captured(name: str) -> Any:
    return json.loads((CAPTURES / f"{name}.json").read_bytes())


def key_of(alias: str) -> str:
    return f"a-long-enough-key-of-{alias}" if alias else NO_ALIAS


def the_users() -> list[dict[str, Any]]:
    """The users of the captured node, with our own secrets; two of them do not start here (tests/auth/test_users)."""
    users = captured("auth_users_agent_config")["body"]["config"]["API"]["Auth"]["Users"]
    made = []
    for user in users:
        alias = user.get("Alias", "")
        if alias in ("kempty", "kbogus"):
            continue
        if user.get("Username") == "admin":
            user["Password"] = PLAIN
        elif user.get("Username") == "Bea":
            user["Password"] = bcrypt.hashpw(HASHED.encode(), bcrypt.gensalt(4, b"2a")).decode()
        else:
            user["APIKey"] = key_of(alias)
        made.append(user)
    return made


@dataclass
class Served:
    """A node with users and without trust in sockets, and its clock."""

    url: str
    clock: ManualClock
    session: aiohttp.ClientSession
    key: str

    async def status(self, method: str, path: str, header: str = "") -> int:
        headers = {"Authorization": header} if header else {}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False) as answer:
            if (await answer.text()).startswith('{"Status":40') and "Authorizer" in await answer.text():
                assert not any(name.startswith(("X-Bacalhau", "WWW-")) for name in answer.headers)
            return answer.status

    async def raw(self, *lines: str) -> tuple[int, dict[str, Any]]:
        """Ask for the jobs with header lines as they are."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = ["GET /api/v1/orchestrator/jobs HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        writer.write("\r\n".join([*head, *lines, "", ""]).encode())
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await writer.wait_closed()
        top, _, body = answer.partition(b"\r\n\r\n")
        return int(top.split()[1]), json.loads(body)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    clock = ManualClock()
    config = Config(
        {
            "DataDir": str(tmp_path_factory.mktemp("users") / "repo"),
            "Orchestrator.Enabled": True,
            "Compute.Enabled": True,
            "API.Port": 0,
            "API.TrustLocalUser": False,
            "API.Auth.Users": the_users(),
            "Engines.Disabled": ["docker"],
        }
    )
    async with running_node(config, clock=clock) as node, aiohttp.ClientSession() as session:
        yield Served(node.url, clock, session, node.key)


COLUMNS = {
    "none": "",
    "badkey": "Bearer not-a-key-of-this-node",
    "star": f"Bearer {key_of('kstar')}",
    "rall": f"Bearer {key_of('krall')}",
    "wall": f"Bearer {key_of('kwall')}",
    "rjob": f"Bearer {key_of('krjob')}",
    "wjob": f"Bearer {key_of('kwjob')}",
    "rnode": f"Bearer {key_of('krnode')}",
    "wnode": f"Bearer {key_of('kwnode')}",
    "ragent": f"Bearer {key_of('kragent')}",
    "wagent": f"Bearer {key_of('kwagent')}",
}
NO_ROUTE = {"star": 404, "wall": 404, "wnode": 404, "none": 401, "badkey": 401}
"""A path of no route needs write:node here, whatever prefix it has."""
OURS: dict[str, dict[str, int]] = {
    # Open: they lead to what is open as well.
    "GET /": dict.fromkeys(COLUMNS, 301),
    "GET /version": dict.fromkeys(COLUMNS, 301),
    "GET /livez": dict.fromkeys(COLUMNS, 301),
    # The route decides, not the beginning of the path.
    "GET /api/v1/authxyz": dict.fromkeys(COLUMNS, 403) | NO_ROUTE,
    "GET /api/v1/agentxyz": dict.fromkeys(COLUMNS, 403) | NO_ROUTE,
    # No rights for pages of other sites.
    "OPTIONS /api/v1/agent/node": dict.fromkeys(COLUMNS, 403)
    | {"none": 401, "badkey": 401, "star": 404, "wall": 404, "wagent": 404},
}
PASSED_OTHERWISE = {
    # What the official node answers with another status to a request that makes no sense.
    "PUT /api/v1/orchestrator/jobs/diff": 400,
    "PUT /api/v1/orchestrator/nodes/nope": 404,
    "PUT /api/v1/orchestrator/jobs/nope/rerun": 404,
    "GET /api/v1/orchestrator/jobs/nope/logs": 400,
}


@pytest.mark.parametrize(
    "row",
    captured("capability_matrix"),
    ids=lambda row: f"{row['method']} {row['path'].strip('/') or 'root'}",
)
async def test_the_capability_matrix(served: Served, row: dict[str, Any]) -> None:
    served.clock.advance(GUESS_WINDOW_S + 1)
    method, path = row["method"], row["path"]
    request = f"{method} {path}"
    official = {name: row[name] for name in COLUMNS if name in row}
    expected = OURS.get(request) or {
        name: PASSED_OTHERWISE.get(request, status) if status not in (401, 403) else status
        for name, status in official.items()
    }
    statuses = {name: await served.status(method, path, COLUMNS[name]) for name in expected}
    assert statuses == expected


def basic(text: str) -> str:
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode()


def jwt(header: str) -> str:
    parts = [header, '{"sub":"eve","exp":9999999999}']
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + ".c2ln"


STAR = key_of("kstar")
HEADERS: dict[str, list[str]] = {
    "no header": [],
    "empty header": ["Authorization: "],
    "Bearer only": ["Authorization: Bearer"],
    "Bearer space": ["Authorization: Bearer "],
    "Bearer 2 spaces key": [f"Authorization: Bearer  {STAR}"],
    "key + trailing space": [f"Authorization: Bearer {STAR} "],
    "wrong key": ["Authorization: Bearer this-is-no-key-at-all"],
    "key case changed": [f"Authorization: Bearer {STAR.upper()}"],
    "Token scheme": [f"Authorization: Token {STAR}"],
    "Digest": [f"Authorization: Digest {STAR}"],
    "basic admin ok": [basic(f"admin:{PLAIN}")],
    "basic ADMIN ok (case)": [basic(f"ADMIN:{PLAIN}")],
    "basic wrong pw": [basic("admin:wrong")],
    "basic unknown": [basic(f"eve:{PLAIN}")],
    "basic bcrypt ok": [basic(f"bea:{HASHED}")],
    "basic bcrypt wrong": [basic("bea:wrong")],
    "basic bcrypt hash itself": [basic(f"bea:{the_users()[1]['Password']}")],
    "basic empty pw": [basic("admin:")],
    "basic no colon": [basic("admin")],
    "basic empty": ["Authorization: Basic "],
    "basic bad b64": ["Authorization: Basic !!!"],
    "basic urlsafe b64 nopad": [basic(f"admin:{PLAIN}").rstrip("=")],
    "basic long pw bcrypt 80": [basic("bea:" + "p" * 80)],
    "jwt-looking": ["Authorization: Bearer " + jwt('{"alg":"RS256"}')],
    "jwt alg none": ["Authorization: Bearer " + jwt('{"alg":"none"}')],
    "three dots not jwt": ["Authorization: Bearer a.b.c"],
    "two headers": ["Authorization: Bearer wrong", f"Authorization: Bearer {STAR}"],
}
ACCEPTED_HERE = {
    # The standard says that schemes have no case, and nothing is lost by it.
    "lower-case bearer": f"Authorization: bearer {STAR}",
    "BEARER": f"Authorization: BEARER {STAR}",
    "basic lower": basic(f"admin:{PLAIN}").replace("Basic", "basic"),
}
ELSEWHERE = {"noalias read node", "empty actions", "bogus actions"}


@pytest.mark.parametrize(
    "case",
    [case for case in captured("authorization_header_cases") if case["case"] not in ELSEWHERE],
    ids=lambda case: case["case"],
)
async def test_the_authorization_header(served: Served, case: dict[str, Any]) -> None:
    served.clock.advance(GUESS_WINDOW_S + 1)
    name = case["case"]
    if name in ACCEPTED_HERE:
        assert (await served.raw(ACCEPTED_HERE[name]))[0] == 200
        return
    status, body = await served.raw(*HEADERS[name])
    assert status == case["status"]
    if status == 401:
        official = captured("err_401_missing")["body"] | {"Details": {"reason": case["reason"]}}
        assert body | {"Hint": ""} == official | {"Hint": ""}
        assert "BACALHAU_API_KEY" in body["Hint"]


@pytest.mark.parametrize(
    ("capture", "header"),
    [
        ("err_403_noalias", NO_ALIAS),
        ("err_403_read_node", key_of("krjob")),
        ("err_403_write_job", key_of("krjob")),
        ("err_403_unknown_path", key_of("krall")),
    ],
)
async def test_who_may_not_do_it_is_told_in_the_official_words(
    served: Served, capture: str, header: str
) -> None:
    official = captured(capture)
    method, path = official["request"].split()
    headers = {"Authorization": f"Bearer {header}"}
    async with served.session.request(method, served.url + path, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (official["status"], official["body"])


@pytest.mark.parametrize("capture", ["auth_users_methods", "auth_users_authconfig", "auth_users_clientkey"])
async def test_there_is_no_exchange_beside_users(served: Served, capture: str) -> None:
    official = captured(capture)
    method, path = official["request"].split()
    async with served.session.request(method, served.url + path) as answer:
        assert (answer.status, await answer.json()) == (official["status"], official["body"])
    if capture == "auth_users_clientkey":
        async with served.session.post(served.url + path, json={}) as answer:
            assert answer.status == 404


async def test_the_configuration_is_shown_without_secrets(served: Served) -> None:
    async with served.session.get(
        served.url + "/api/v1/agent/config", headers={"Authorization": COLUMNS["ragent"]}
    ) as answer:
        text = await answer.text()
    official = captured("auth_users_agent_config")["body"]["config"]["API"]["Auth"]["Users"]
    assert json.loads(text)["config"]["API"]["Auth"]["Users"] == [
        user for user in official if user.get("Alias") not in ("kempty", "kbogus")
    ]
    assert not re.search(rf"{PLAIN}|{HASHED}|\$2a\$|a-long-enough-key", text)


async def test_the_nodes_own_key_keeps_all_rights(served: Served) -> None:
    for path in ("orchestrator/jobs", "orchestrator/nodes", "agent/config"):
        assert await served.status("GET", f"/api/v1/{path}", f"Bearer {served.key}") == 200
    assert await served.status("DELETE", "/api/v1/compute/inputcache", f"Bearer {served.key}") == 200


@pytest.mark.parametrize(
    ("method", "path", "admitted"),
    [
        ("GET", "orchestrator/events", {"rjob", "rall", "star"}),
        ("GET", "compute/data", {"rjob", "rall", "star"}),
        ("GET", "orchestrator/jobs/nope/explanation", {"rjob", "rall", "star"}),
        ("GET", "orchestrator/jobs/nope/results/files", {"rjob", "rall", "star"}),
        ("GET", "agent/lease", {"wjob", "wall", "star"}),
        ("POST", "orchestrator/uploads", {"wjob", "wall", "star"}),
        ("GET", "orchestrator/uploads/u-1", {"wjob", "wall", "star"}),
        ("DELETE", "orchestrator/uploads", {"wnode", "wall", "star"}),
        ("GET", "cluster", {"rnode", "rall", "star"}),
        ("POST", "cluster/close", {"star"}),
        ("DELETE", "compute/results", {"wnode", "wall", "star"}),
        # Only a program of the node's own user, whatever the key.
        ("POST", "agent/environments", set()),
        ("POST", "agent/packages", set()),
    ],
)
async def test_the_routes_that_only_we_have(
    served: Served, method: str, path: str, admitted: set[str]
) -> None:
    served.clock.advance(GUESS_WINDOW_S + 1)
    statuses = {
        name: await served.status(method, f"/api/v1/{path}", header) for name, header in COLUMNS.items()
    }
    assert {name for name, status in statuses.items() if status not in (401, 403)} == admitted
    assert statuses["none"] == statuses["badkey"] == 401


async def test_guesses_end_in_429_and_a_right_one_is_not_looked_at(served: Served) -> None:
    served.clock.advance(GUESS_WINDOW_S + 1)
    guesses = [await served.raw(basic(f"admin:guess {number}")) for number in range(21)]
    assert [status for status, _ in guesses] == [401] * 20 + [429]
    assert (await served.raw(basic(f"admin:{PLAIN}")))[0] == 429
    served.clock.advance(GUESS_WINDOW_S + 1)
    assert (await served.raw(basic(f"admin:{PLAIN}")))[0] == 200


async def test_an_upload_is_its_senders_alone(served: Served) -> None:
    uploads = f"{served.url}/api/v1/orchestrator/uploads"
    order = {"Name": "x.bin", "Size": 3}

    async def state(upload: str, header: str) -> int:
        return await served.status("GET", f"/api/v1/orchestrator/uploads/{upload}", header)

    async with served.session.post(uploads, json=order, headers={"Authorization": COLUMNS["wjob"]}) as answer:
        assert answer.status == 200, await answer.text()
        upload = (await answer.json())["UploadID"]
    assert await state(upload, COLUMNS["wjob"]) == 200
    # Neither another user's with all rights, nor the node's own.
    assert await state(upload, COLUMNS["star"]) == 404
    assert await state(upload, f"Bearer {served.key}") == 404


async def test_what_a_node_offers_to_jobs_is_told_to_everybody_it_knows(served: Served) -> None:
    headers = {"Authorization": COLUMNS["wjob"]}
    async with served.session.get(f"{served.url}/api/v1/agent/offer", headers=headers) as answer:
        offer = await answer.json()
    assert {"events", "uploads"} <= set(offer["Features"])
    assert "noop" in offer["ComputeNodeInfo"]["ExecutionEngines"]
    assert offer["NodeID"] == ""
    assert offer["Labels"] == {}
    assert await served.status("GET", "/api/v1/agent/offer") == 401

"""No request gives a 5xx: 20 000 of them, made from the contract, against a real node."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.conformance.contract import JOBS, ROUTES, all_routes_of_the_api
from tests.conformance.fuzz import Request, Requests
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory

COUNT = int(os.environ.get("BACALHAU_JUPYTER_FUZZ", "20000"))
SEED = int(os.environ.get("BACALHAU_JUPYTER_FUZZ_SEED", "9"))
WORKERS = 24
UNTIL_S = 60.0
"""Seconds for one answer."""


def test_every_route_of_the_api_is_in_the_contract() -> None:
    had = {
        (method, re.sub(r"\{[^}]+\}", "{}", path))
        for method, path in all_routes_of_the_api()
        if method != "HEAD"
    }
    known = {(route.method, re.sub(r"\{[^}]+\}", "{}", route.path)) for route in ROUTES}
    assert had <= known, had - known


class Fuzzer:
    """Sends requests and remembers what went wrong, and what exists now."""

    def __init__(self, node: ServedNode, shared: Path) -> None:
        self._node = node
        self.names_by_kind: dict[str, list[str]] = {
            "job": [],
            "execution": [],
            "node": [],
            "token": [],
            "shared": [str(shared).lstrip("/")],
        }
        self.statuses: collections.Counter[int] = collections.Counter()
        self.wrong: list[str] = []
        self._requests = Requests(SEED, self.names_by_kind)

    async def run(self, count: int) -> None:
        numbers = iter(range(count))
        connector = aiohttp.TCPConnector(limit=WORKERS)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            await self._look(session)
            await asyncio.gather(*(self._work(session, numbers) for _ in range(WORKERS)))

    async def _work(self, session: aiohttp.ClientSession, numbers: Any) -> None:
        for number in numbers:
            request = self._requests.make(number)
            await self._send(session, number, request)
            if number % 500 == 0:
                await self._look(session)

    async def _send(self, session: aiohttp.ClientSession, number: int, request: Request) -> None:
        url = URL(self._node.url + request.target, encoded=True)
        headers = {
            name: value.encode("latin-1", "replace").decode("latin-1")
            for name, value in request.headers.items()
        }
        try:
            async with (
                asyncio.timeout(UNTIL_S),
                session.request(
                    request.method, url, headers=headers, data=request.body, allow_redirects=False
                ) as answer,
            ):
                text = await answer.text(errors="replace") if answer.status != 101 else ""
                self._judge(number, request, answer.status, text)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # A client that may not send such a header, say, has sent nothing.
            if not isinstance(error, (ValueError, aiohttp.InvalidURL)):
                self.wrong.append(f"#{number} {error!r}: {request}")

    def _judge(self, number: int, request: Request, status: int, text: str) -> None:
        self.statuses[status] += 1
        if status >= 500 or "Traceback" in text:
            self.wrong.append(f"#{number} {status} {text[:300]}: {request}")
        elif status >= 400 and request.method != "HEAD":
            message = self._message(text)
            if not message:
                self.wrong.append(f"#{number} {status} without a sentence, {text[:300]!r}: {request}")
        elif status == 200 and '"NextToken":"' in text:
            token = text.partition('"NextToken":"')[2].partition('"')[0]
            if token:
                self.names_by_kind["token"].append(token)

    @staticmethod
    def _message(text: str) -> str:
        try:
            answer = json.loads(text)
        except ValueError:
            # What is not even HTTP is answered before there is an API: one plain line.
            return text.strip()
        return str(
            answer.get("Message")
            or answer.get("Error")
            or answer.get("Authentication", {}).get("reason")
            or ""
        )

    async def _look(self, session: aiohttp.ClientSession) -> None:
        """Find out what exists, so that requests are about it."""
        async with session.get(
            f"{self._node.url}{JOBS}?limit=100&order_by=modified_at&reverse=true"
        ) as answer:
            if answer.status != 200:
                self.wrong.append(f"the list of jobs: {answer.status} {await answer.text()}")
                return
            job_ids = [item["ID"] for item in (await answer.json())["Items"]]
        self.names_by_kind["job"][:] = job_ids
        for job in job_ids[:3]:
            async with session.get(f"{self._node.url}{JOBS}/{job}/executions") as answer:
                if answer.status == 404:
                    continue  # another request has deleted the job since it was listed
                self.names_by_kind["execution"] += [item["ID"] for item in (await answer.json())["Items"]]
        async with session.get(f"{self._node.url}/api/v1/orchestrator/nodes") as answer:
            self.names_by_kind["node"][:] = [
                item["Info"]["NodeID"] for item in (await answer.json())["Nodes"]
            ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_request_from_the_contract_gives_a_5xx(
    node_factory: NodeFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = [
        "Engines.Disabled=docker",
        "InputSources.Disabled=s3",
        f"Compute.AllowListedLocalPaths={shared}",
        # Each request that opens the link would start a server.
        "Orchestrator.Link=off",
    ]
    node = node_factory(*(f"--config={setting}" for setting in settings))
    fuzzer = Fuzzer(node, shared)
    asyncio.run(fuzzer.run(COUNT))
    with capsys.disabled():
        sys.stdout.write(f"[{COUNT} requests, seed {SEED}: {dict(sorted(fuzzer.statuses.items()))}] ")
    assert not fuzzer.wrong, f"{len(fuzzer.wrong)} answers are wrong:\n" + "\n".join(fuzzer.wrong[:20])
    # The requests reach what is behind the routes: many are good, and each kind of refusal is among them.
    assert fuzzer.statuses[200] > COUNT / 4
    assert {400, 404, 409} <= set(fuzzer.statuses)
    log = node.output.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    assert node.process.poll() is None

"""Hostile bodies, names and ranges for uploads, packages and jobs with them: never a 5xx, nothing half done."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bacalhau_jupyter.models.records.packages import PATH as PACKAGES
from bacalhau_jupyter.models.records.uploads import PATH as UPLOADS
from tests.conformance.contract import JOBS
from tests.services.node import ServedNode
from tests.services.waiting import found

pytestmark = pytest.mark.process

COUNT = int(os.environ.get("BACALHAU_JUPYTER_FUZZ", "1000"))
SEED = int(os.environ.get("BACALHAU_JUPYTER_FUZZ_SEED", "9"))
SEGMENTS = [
    "x",
    "..",
    "%2e%2e%2f",
    "%00",
    "a" * 64,
    "0" * 32,
    "%ff",
    "%e9",
    "a%2fb",
    "x.tar.gz",
    "%0a",
    "complete",
]
RANGES = [
    "bytes 0-2/3",
    "bytes 0-0/3",
    "bytes 1-2/3",
    "bytes 2-1/3",
    f"bytes 0-{'9' * 18}/*",
    "x",
    "bytes -1-2/3",
]
VALUES: list[Any] = [
    "../x",
    "",
    "a" * 300,
    "\0",
    "é",
    -1,
    0,
    3,
    2**63,
    10**30,
    1.5,
    1e308,
    None,
    True,
    [],
    {},
    "ab" * 32,
]
BODIES = [b"", b"{", b"[]", b"\xff\xfe", b"null", b'"x"']


class Fuzz:
    """Makes requests; some continue what others began."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self._random = random.Random(SEED)
        self._names = ["0" * 32]
        self._links: list[str] = []
        self.jobs = 0
        self.statuses: collections.Counter[int] = collections.Counter()
        self.faults: list[str] = []

    async def once(self) -> None:
        """Send one request."""
        pick = self._random.choice
        name = pick([*self._names, pick(SEGMENTS)])
        content = {"Content-Type": pick(["application/octet-stream", "application/json", "x"])}
        match self._random.randrange(10):
            case 0:
                fields: dict[str, Any] = {
                    "Name": "x.bin",
                    "Size": 3,
                    "SHA256": "",
                    "Local": False,
                    "Fresh": False,
                }
                fields[pick(list(fields))] = pick(VALUES)
                await self.call("POST", UPLOADS, json=fields)
            case 1:
                await self.call("POST", pick([UPLOADS, PACKAGES]), data=pick(BODIES), headers=content)
            case 2:
                data = os.urandom(pick([0, 1, 3, 4]))
                headers = {**content, "Content-Range": pick(RANGES)}
                await self.call("PUT", f"{UPLOADS}/{name}", data=data, headers=headers)
            case 3:
                await self.call("POST", f"{UPLOADS}/{name}/complete", data=pick([b"", b"x"]))
            case 4:
                await self.call(pick(["GET", "DELETE"]), f"{pick([UPLOADS, PACKAGES])}/{name}")
            case 5:
                query = f"expires={pick(['1', 'x', '', '1-2', '9' * 400])}&signature={pick(SEGMENTS)}"
                await self.call("GET", f"{UPLOADS}/content/{pick(SEGMENTS)}/{pick(SEGMENTS)}?{query}")
            case 6 | 7:
                await self.call("PUT", JOBS, json={"Job": self._job()})
            case 8:
                await self.call("POST", PACKAGES, json={"Request": pick(["ab" * 32, pick(VALUES)])})
            case _:
                order: dict[str, Any] = {"Request": "ab" * 32, "Target": "x", "Locked": []}
                order[pick(list(order))] = pick(VALUES)
                await self.call("PUT", f"{PACKAGES}/{name}", json=order)

    def _job(self) -> dict[str, Any]:
        """Return a job whose input is of one of our own sources, or nearly so."""
        pick = self._random.choice
        link = f"/api/v1/orchestrator/uploads/content/{pick(SEGMENTS)}/{pick(SEGMENTS)}"
        links = [
            *self._links,
            link,
            f"/api/v1/compute/results/{pick(SEGMENTS)}",
            f"{link}?expires=1-2&signature=x",
        ]
        url = pick(links)
        if not url.startswith("http"):
            url = f"http://{pick(['127.0.0.1:1', '[', 'x:99999', ''])}{url}"
        params = {"URL": pick([url, url + pick(["&expires=9", "#x", "%00", "/../x"]), pick(VALUES)])}
        params[pick(["url", "Set", "File", "Format", "Name"])] = pick([*VALUES, url])
        source = {"Type": pick(["urlDownload", "archive", "pythonPackages", "inline"]), "Params": params}
        targets = ["/inputs/x", "/inputs/../x", "/", "", "x\0", "/" + "a" * 5000, "é", "/inputs/packages"]
        item = {"Source": source, "Alias": pick(["", "a" * 3000, "\0", "é"]), "Target": pick(targets)}
        timeouts = {
            "ExecutionTimeout": pick([0, 1, -1, 2**62]),
            "QueueTimeout": pick([0, 1, 2**62, 2**63 - 1]),
        }
        task = {
            "Name": "main",
            "Engine": {"Type": pick(["noop", "process"]), "Params": {"Command": ["true"]}},
            "InputSources": [item] * pick([1, 1, 1, 2]),
            "Timeouts": timeouts,
        }
        return {"Type": "batch", "Count": 1, "Tasks": [task]}

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, and note what came back."""
        try:
            async with self._client.request(method, URL(path, encoded=True), **options) as response:
                text = await response.text()
        except aiohttp.ClientConnectionError:
            return None  # refused before its body was read
        self.statuses[response.status] += 1
        if response.status >= 500:
            self.faults.append(f"{method} {path} {options}: {response.status} {text[:200]}")
        answer = json.loads(text) if text.startswith("{") else {}
        self.jobs += bool(answer.get("JobID"))
        self._links += [answer["URL"]] if answer.get("URL") else []
        self._names += [answer[key] for key in ("UploadID", "Draft") if answer.get(key)]
        return answer


async def test_no_hostile_request_is_a_5xx_or_leaves_half_of_something(node: ServedNode) -> None:
    async with asyncio.timeout(120), aiohttp.ClientSession(node.url) as client:
        fuzz = Fuzz(client)
        begun = await fuzz.call("POST", UPLOADS, json={"Name": "first", "Size": 3})
        headers = {"Content-Type": "application/octet-stream"}
        await fuzz.call("PUT", f"{UPLOADS}/{begun['UploadID']}", data=b"abc", headers=headers)
        for _ in range(COUNT):
            await fuzz.once()
        begun = await fuzz.call("POST", UPLOADS, json={"Name": "good", "Size": 3})
        good = await fuzz.call("PUT", f"{UPLOADS}/{begun['UploadID']}", data=b"abc", headers=headers)
    assert good["URL"]
    assert fuzz.faults == []
    assert fuzz.jobs, "no job was accepted"
    assert {200, 400, 404, 415} <= set(fuzz.statuses)
    contents = [path for path in found(node.repo.path, "*") if path.parent.name == "contents"]
    assert contents and all(_is_whole(place) for place in contents)
    assert not [path for path in found(node.repo.path, "*.part") if "uploads" in path.parts]


def _is_whole(place: Path) -> bool:
    return sorted(path.name for path in place.iterdir()) == ["about.json", "content"]

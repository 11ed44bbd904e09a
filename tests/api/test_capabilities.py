"""What callers get who may do some things, and not others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from yarl import URL

from tests.api.conftest import READ_KEY, Api

CAPTURES = Path(__file__).parents[1] / "data" / "trust-captures"
READER = {"Authorization": f"Bearer {READ_KEY}"}


@pytest.mark.parametrize(
    ("method", "path", "capability"),
    [
        ("GET", "/api/v1/orchestrator/nodes", "read:node"),
        ("PUT", "/api/v1/orchestrator/jobs", "write:job"),
        # The route has no such verb, and still says whose it is.
        ("PATCH", "/api/v1/orchestrator/jobs", "write:job"),
        ("POST", "/api/v1/agent/node", "write:agent"),
        ("GET", "/api/v1/nothing", "write:node"),
        ("GET", "//api/v1/orchestrator/jobs", "write:node"),
        ("GET", "/API/v1/orchestrator/jobs", "write:node"),
        ("GET", "/api/v1/agent/alive/../../orchestrator/nodes", "write:node"),
        ("GET", "/api/v1/auth/%2e%2e/orchestrator/nodes", "write:node"),
    ],
)
async def test_without_its_capability_a_request_gets_the_official_403(
    api: Api, method: str, path: str, capability: str
) -> None:
    reason = f"user 'reader' does not have the required capability '{capability}'"
    envelope = json.loads((CAPTURES / "err_403_read_node.json").read_bytes())["body"]
    envelope["Details"] = {"reason": reason}
    url = URL(str(api.client._base_url).rstrip("/") + path, encoded=True)
    async with api.client.request(method, url, headers=READER) as answer:
        assert answer.status == 403
        assert await answer.json() == envelope
        assert not any(name.startswith("X-Bacalhau") for name in answer.headers)
    assert api.orchestrator.calls == []


@pytest.mark.parametrize("path", ["jobs", "jobs/j-1"])
async def test_with_its_capability_it_gets_through(api: Api, path: str) -> None:
    async with api.client.get(f"/api/v1/orchestrator/{path}", headers=READER) as answer:
        assert answer.status == 200
    assert api.orchestrator.calls

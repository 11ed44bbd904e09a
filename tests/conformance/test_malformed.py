"""What is not quite HTTP is the sender's mistake: refused, never a 5xx, and the node goes on."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.node.node import running_node
from tests.conformance import malformed

FINE = {"an absolute target", "HTTP/1.0", "HTTP/2.0"}
"""What may be answered with 200; every other ambiguous or invalid request is refused."""
REFUSED = {
    "two equal lengths",
    "two lengths",
    "length and chunks",
    "two encodings",
    "a folded header",
    "two hosts",
}


async def test_what_is_not_http_is_refused_and_never_a_5xx(node_config: Callable[..., Config]) -> None:
    async with running_node(node_config()) as node:
        statuses = await malformed.statuses(node.record.port)
        assert {name: status for name, status in statuses.items() if status >= 500} == {}
        assert {name: statuses[name] for name in REFUSED} == dict.fromkeys(REFUSED, 400)
        assert all(statuses[name] == 200 for name in FINE), statuses
        headers = {"Authorization": f"Bearer {node.key}"}
        async with (
            aiohttp.ClientSession(node.url, headers=headers) as session,
            session.get(malformed.JOBS) as answer,
        ):
            page = await answer.json()
    assert page.get("Items") == [], page

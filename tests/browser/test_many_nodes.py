"""The Nodes tab with a thousand nodes: what the cluster would answer is served to the page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import open_tab
from tests.services.common import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

COUNT = 1000
CAPACITY = {"CPU": 8, "Memory": 16_000_000_000, "Disk": 200_000_000_000, "GPU": 0}


def far_node(number: int) -> dict[str, Any]:
    compute = {
        "ExecutionEngines": ["docker", "wasm"],
        "Publishers": ["local", "s3"],
        "StorageSources": ["inline", "s3", "urldownload"],
        "MaxCapacity": CAPACITY,
        "AvailableCapacity": {**CAPACITY, "CPU": number % 8},
        "MaxJobRequirements": CAPACITY,
        "RunningExecutions": 8 - number % 8,
    }
    return {
        "Info": {
            "NodeID": f"n-{number:04}",
            "NodeType": "Compute",
            "Labels": {"name": f"host-{number:04}", "rack": f"r{number % 40}"},
            "ComputeNodeInfo": compute,
            "BacalhauVersion": {"GitVersion": "v1.9.3", "GOOS": "linux", "GOARCH": "amd64"},
        },
        "Membership": "APPROVED",
        "Connection": "CONNECTED",
        "ConnectionState": {"LastHeartbeat": "2026-11-30T10:00:00Z"},
    }


def is_drawn(card: Locator) -> bool:
    """Scroll to a card, and say whether it has content then."""
    card.scroll_into_view_if_needed()
    return card.get_by_text("official v1.9.3").count() > 0


def test_a_thousand_nodes_are_listed_drawn_where_they_are_seen_and_narrowed(page: Page) -> None:
    body = json.dumps({"NextToken": "", "Nodes": [far_node(number) for number in range(COUNT)]})
    page.route(re.compile(r"/orchestrator/nodes(\?|$)"), lambda route: route.fulfill(status=200, body=body))
    panel = open_tab(page, "Nodes")
    expect(panel.get_by_text(f"{COUNT} nodes", exact=True)).to_be_visible()
    cards, drawn = panel.get_by_role("listitem", name="Node host-"), panel.get_by_text("official v1.9.3")
    expect(cards).to_have_count(COUNT)
    expect(drawn.first).to_be_visible()
    # A screen has room for less than twenty; a margin is drawn beside it.
    assert drawn.count() < COUNT / 10
    # Cards grow when they are drawn, which moves the last one away: a person scrolls on, too.
    assert wait_until(lambda: is_drawn(cards.last), timeout_s=60)
    panel.get_by_role("searchbox", name="Filter nodes").fill("rack=r7 host-0847")
    expect(panel.get_by_text(f"1/{COUNT} nodes", exact=True)).to_be_visible()
    expect(cards).to_have_count(1)

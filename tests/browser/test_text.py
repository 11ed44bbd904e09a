"""Text as text in a real browser, and who counts as a person there."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.server.handlers.base import PERSON
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.browser.panel import open_panel, row
from tests.browser.tabs import open_tab, write_notebook
from tests.node.joining.hostile import CONTROLS, FAILS, LONG, MARKUP, NODE, HostileNode, hostile_node
from tests.orchestrator.support import noop_job
from tests.services.node import ServedNode

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

Submit = Callable[[JobModel], Job]


def test_a_name_can_not_turn_itself_around(page: Page, submit: Submit) -> None:
    panel = open_panel(page)
    submit(process("true", name="pay\u202egnp.exe\u200b"))
    mine = row(panel, "pay\\u202egnp.exe\\u200b")
    expect(mine).to_be_visible()
    assert "\u202e" not in (panel.text_content() or "")
    mine.hover()
    mine.get_by_role("button", name="Logs").click()
    panel.get_by_role("tab", name="Spec").click()
    expect(panel.locator(".jp-Bacalhau-spec pre")).to_contain_text("pay\\u202egnp.exe\\u200b")


def test_the_panel_says_who_asks(page: Page, submit: Submit) -> None:
    asked: list[tuple[str, bool]] = []

    def note(request: Request) -> None:
        if "/bacalhau/" in request.url:
            asked.append((request.method, PERSON.lower() in request.headers))

    panel = open_panel(page)
    # Whatever was clicked to get here is long ago.
    page.wait_for_timeout(2500)
    page.on("request", note)
    submit(process("true", name="by-itself"))
    expect(row(panel, "by-itself")).to_contain_text("Completed", timeout=60_000)
    page.wait_for_timeout(500)
    assert asked
    assert not any(person for _, person in asked)
    asked.clear()
    mine = row(panel, "by-itself")
    mine.hover()
    mine.get_by_role("button", name="Logs").click()
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.get_by_role("listitem").filter(has_text="Job submitted")).to_be_visible()
    assert any(person for _, person in asked)


def cluster(node: ServedNode, verb: str) -> dict[str, Any]:
    """Open or close the cluster of a node."""
    request = urllib.request.Request(
        f"{node.url}/api/v1/cluster/{verb}",
        data=b"{}",
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


@pytest.fixture
def hostile(lab_node: ServedNode) -> Iterator[HostileNode]:
    """A node that says hostile things, in the cluster of Lab's node."""
    opened = cluster(lab_node, "open")
    token = lab_node.repo.cluster_token_file.read_text().strip()
    try:
        with hostile_node(opened["Address"], token) as node:
            yield node
    finally:
        cluster(lab_node, "close")


def check_harmless(page: Page, place: str = "body") -> None:
    """Check that nothing of what the node said became part of the page, and that a place spells out its controls."""
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("img[src=x]").count() == 0
    text = page.locator(place).inner_text()
    assert not set("\x1b\x07\u202e\u200b") & set(text)
    assert "y" * 20_000 not in text


def on_hostile(name: str) -> JobModel:
    return noop_job(name, constraints=[Constraint(key="name", operator="=", values=[NODE])])


def test_what_a_hostile_node_says_is_text_in_the_panel(
    page: Page, hostile: HostileNode, submit: Submit
) -> None:
    for labels in ({"note": CONTROLS}, {"note": LONG}, {f"x{CONTROLS}": "1"}):
        refused = hostile.ask(labels)
        assert not refused.accepted
        assert len(refused.reason) < 2000
        assert "\u202e" not in refused.reason
    assert hostile.ask({"note": MARKUP, MARKUP: "1"}).accepted
    panel = open_tab(page, "Nodes")
    mine = panel.get_by_role("listitem", name=f"Node {NODE}")
    expect(mine).to_be_visible()
    mine.get_by_text("Labels, version and more").click()
    expect(mine.get_by_role("list", name="Labels")).to_contain_text(f"note={MARKUP}")
    check_harmless(page)
    open_tab(page, "Jobs")
    for name, word in ((f"{FAILS}-here", "Failed"), ("prints-here", "exit 3")):
        submit(on_hostile(name))
        listed = row(panel, name)
        expect(listed).to_contain_text(word)
        listed.hover()
        listed.get_by_role("button", name="Logs").click()
        panel.get_by_role("tab", name="Timeline").click()
        expect(panel.get_by_role("listitem").filter(has_text="Job submitted")).to_be_visible()
        expect(panel.get_by_role("region", name=f"Job {name}")).to_contain_text("onerror=")
        check_harmless(page)
        panel.get_by_role("button", name="Back to the list").click()


def test_what_a_hostile_node_says_is_text_in_the_card(
    hostile: HostileNode,
    submit: Submit,
    browser: Browser,
    lab: LabServer,
    shot_dir: Path,
    request: pytest.FixtureRequest,
) -> None:
    assert hostile.ask({}).accepted
    for name, word in ((f"{FAILS}-in-a-card", "failed"), ("prints-in-a-card", "exit code 3")):
        job = submit(on_hostile(name))
        source = f"%load_ext bacalhau_jupyter\n%bacalhau attach {job.id}"
        write_notebook(lab.root / f"{name}.ipynb", source)
        for page in lab_page(browser, lab, request, shot_dir, f"lab/tree/{name}.ipynb"):
            expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(
                timeout=60_000
            )
            page.locator(".jp-Cell").first.click()
            page.keyboard.press("Shift+Enter")
            outputs = page.locator(".jp-Cell-outputArea").first
            expect(outputs).to_contain_text(word, timeout=60_000)
            expect(outputs).to_contain_text("onerror=")
            # What a program printed stands as it is below its card.
            check_harmless(page, ".jp-Bacalhau-output")

"""Text as text in a real browser, and who counts as a person there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.server.handlers.base import PERSON
from tests.browser.panel import open_panel, row

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

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
    expect(row(panel, "by-itself")).to_contain_text("Completed", timeout=30_000)
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

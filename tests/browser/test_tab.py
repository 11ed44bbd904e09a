"""TAB on a magic's line in a real JupyterLab: our words, each with what it means, and nothing of IPython's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook that loads the extension."""
    made = notebook(
        *(
            {**cell(source), "outputs": [], "execution_count": None}
            for source in ("%load_ext bacalhau_jupyter\nlistening = 1", "%bacalhau job li")
        ),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    (lab.root / "tab.ipynb").write_text(json.dumps(made))
    yield from lab_page(browser, lab, request, shot_dir, "lab/tree/tab.ipynb")


def test_tab_shows_verbs_and_what_they_do(page: Page) -> None:
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.locator(".jp-Cell").first.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".jp-Cell").first).to_contain_text("[1]:", timeout=60_000)
    page.locator(".jp-Cell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Backspace")
    items = page.locator(".jp-Completer .jp-Completer-item")

    def are_offered() -> bool:
        # Lab gives a busy kernel one second to answer, and then offers nothing.
        if items.count() == 0:
            page.keyboard.press("Tab")
        return items.count() == 2

    assert wait_until(are_offered, timeout_s=60, interval_s=2)
    expect(items.nth(0)).to_contain_text("list")
    expect(items.nth(0)).to_contain_text("list jobs.")
    expect(items.nth(1)).to_contain_text("logs")
    expect(items.nth(1)).to_contain_text("print a job's output.")

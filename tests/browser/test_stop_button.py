"""The Stop button of a running cell in a real JupyterLab, which decides itself where clicks are sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.client.notebooks.test_notebooks import cell, notebook

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAME = "stop-button.ipynb"


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook whose second cell runs for long."""
    pytest.importorskip("ipywidgets")
    made = notebook(
        {**cell("%load_ext bacalhau_jupyter"), "outputs": [], "execution_count": None},
        {**cell("%%bacalhau sh\necho started; sleep 120"), "outputs": [], "execution_count": None},
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    (lab.root / NAME).write_text(json.dumps(made))
    yield from lab_page(browser, lab, request, shot_dir, f"lab/tree/{NAME}")


def test_stop_works_while_the_cell_blocks_and_leaves_the_record(page: Page) -> None:
    # Lab drops what is run before the kernel is there.
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.locator(".jp-Cell").first.click()
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-Cell").first).to_contain_text("[1]:", timeout=60_000)
    page.locator(".jp-Cell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    outputs = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    expect(outputs).to_contain_text("started", timeout=60_000)
    # The record has one, too, until the widget takes its place.
    outputs.locator(".jupyter-widgets").get_by_role("button", name="Stop").click(timeout=30_000)
    expect(outputs).to_contain_text("was stopped", timeout=30_000)
    expect(outputs.locator(".jupyter-widgets")).to_have_count(0)
    expect(outputs.get_by_role("button", name="Stop")).to_have_count(0)

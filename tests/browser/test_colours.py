"""Cells are coloured by the language of their bodies, in a real JupyterLab."""

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

CELLS = (
    "%%bacalhau sql\nselect 1",
    "%%bacalhau sh\nls",
    "%%bacalhau job\nType: batch",
    "%%bacalhau python\n1",
    "x = 1",
)


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook."""
    cells = [{**cell(source), "outputs": [], "execution_count": None} for source in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    name = f"{request.node.name}.ipynb"
    (lab.root / name).write_text(json.dumps(notebook(*cells, kernelspec=kernel)))
    yield from lab_page(browser, lab, request, shot_dir, f"lab/tree/{name}")


def test_a_cell_has_the_colours_of_its_body_and_follows_what_is_typed(page: Page) -> None:
    editors = page.locator(".jp-Notebook .jp-Cell .cm-content")
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    for number, language in enumerate(["sql", "shell", "yaml", "python", "python"]):
        expect(editors.nth(number)).to_have_attribute("data-language", language, timeout=60_000)
    editors.nth(4).click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("%%bacalhau sql\nselect 2")
    expect(editors.nth(4)).to_have_attribute("data-language", "sql")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("y = 2")
    expect(editors.nth(4)).to_have_attribute("data-language", "python")

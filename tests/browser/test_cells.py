"""What the front end does to the cells of a notebook: making them jobs, inserting code, first steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import open_panel, row
from tests.browser.tabs import write_notebook
from tests.services.fixtures import service_or_skip

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Submit = Callable[[JobModel], Job]
IDLE = 60_000


@pytest.fixture(scope="module")
def fresh_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab with a node that has never seen a job."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path_factory.mktemp("fresh"))
    yield started
    started.stop()


@pytest.fixture
def fresh_page(
    browser: Browser, fresh_lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """A page without any notebook."""
    yield from lab_page(browser, fresh_lab, request, shot_dir)


@pytest.fixture
def notebook_page(
    browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """A page with an open notebook of one Python cell."""
    write_notebook(lab.root / "cells.ipynb", "print(6 * 7)")
    yield from lab_page(browser, lab, request, shot_dir, "lab/tree/cells.ipynb")


def test_an_empty_list_teaches_and_its_button_makes_a_notebook_whose_cell_runs(
    fresh_page: Page, shot_dir: Path
) -> None:
    page = fresh_page
    # The tile of the launcher shows the panel, too.
    page.locator(".jp-LauncherCard").filter(has_text="Bacalhau").click()
    panel = page.locator("#bacalhau-panel")
    expect(panel).to_contain_text("A cell that begins with %%bacalhau runs as a job", timeout=IDLE)
    page.screenshot(path=str(shot_dir / "empty-list.png"))
    panel.get_by_role("button", name="Try it").click()
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(2, timeout=IDLE)
    expect(cells.nth(0)).to_contain_text("%load_ext bacalhau_jupyter")
    expect(cells.nth(1)).to_contain_text("%%bacalhau sh")
    expect(cells.nth(1).locator(".cm-content")).to_be_focused()
    page.keyboard.press("Shift+Enter")
    expect(cells.nth(1)).to_contain_text("hello from", timeout=IDLE)
    expect(row(panel, "ipynb [")).to_contain_text("Completed", timeout=IDLE)


def test_the_toolbar_button_makes_a_cell_a_job_and_a_cell_again(notebook_page: Page, shot_dir: Path) -> None:
    page = notebook_page
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=IDLE)
    cell = page.locator(".jp-Notebook .jp-Cell").filter(has_text="print")
    cell.locator(".cm-content").click()
    page.get_by_role("button", name="Run this cell on Bacalhau").click()
    expect(cell.locator(".cm-line").first).to_have_text("%%bacalhau python")
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_contain_text("%load_ext bacalhau_jupyter")
    page.screenshot(path=str(shot_dir / "toolbar-button.png"))
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell).to_contain_text("42", timeout=IDLE)
    expect(cell).to_contain_text("Completed")
    page.get_by_role("button", name="Run this cell in the kernel again").click()
    expect(cell.locator(".cm-line").first).to_have_text("print(6 * 7)")


def test_inserted_code_has_the_focus(notebook_page: Page, submit: Submit) -> None:
    page = notebook_page
    job = submit(process("true", name="insert-and-go"))
    job.wait()
    panel = open_panel(page)
    row(panel, "insert-and-go").hover()
    row(panel, "insert-and-go").get_by_role("button", name="Insert code").click()
    inserted = page.locator(".jp-Notebook .jp-Cell").filter(has_text=job.id)
    expect(inserted.locator(".cm-content")).to_be_focused()

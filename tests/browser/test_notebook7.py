"""Notebook 7: the panel is reachable, outputs are live; what only JupyterLab has is not needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.looks import Looks, look_everywhere, submit_all
from tests.browser.tabs import write_notebook
from tests.browser.test_renderer import KERNEL, code, record
from tests.client.notebooks.test_notebooks import notebook
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode

pytest.importorskip("playwright.sync_api")
pytest.importorskip("notebook")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Submit = Callable[[JobModel], Job]


@pytest.fixture(scope="module")
def notebook7(lab_node: ServedNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """Notebook 7 with both halves of the extension."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path_factory.mktemp("notebook7"), repo=lab_node.repo.path, application="notebook")
    yield started
    started.stop()


@pytest.fixture
def page(
    browser: Browser,
    notebook7: LabServer,
    lab_node: ServedNode,
    submit: Submit,
    request: pytest.FixtureRequest,
    shot_dir: Path,
) -> Iterator[Page]:
    """A notebook whose only cell has run a job."""
    script = "echo in-notebook-7; echo a,b > outputs/t.csv; echo 1,2 >> outputs/t.csv"
    job = submit(process(script, name="nb7"))
    job.wait()
    made = notebook(code("%%bacalhau sh", record(job.id, lab_node.url)), kernelspec=KERNEL)
    (notebook7.root / "seven.ipynb").write_text(json.dumps(made))
    yield from lab_page(browser, notebook7, request, shot_dir, "notebooks/seven.ipynb")


def test_panel_and_outputs_work_in_notebook_7(page: Page, shot: Shot) -> None:
    shown = page.locator(".jp-Bacalhau-output")
    expect(shown).to_contain_text("Completed", timeout=60_000)
    shown.get_by_role("button", name="Logs").click()
    expect(shown.get_by_role("log")).to_contain_text("in-notebook-7")
    shown.get_by_role("button", name="Results").click()
    shown.get_by_role("treeitem").filter(has_text="t.csv").click()
    expect(shown.get_by_role("cell", name="2")).to_be_visible()
    shown.get_by_role("button", name="Show in the panel").click()
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("region", name="Job nb7")).to_be_visible()
    # There is one document a page here, and no place beside it.
    expect(panel.get_by_role("button", name="Open in a tab of its own")).to_have_count(0)
    shot("notebook7")


def test_the_panel_is_reachable_from_the_list_of_files(
    browser: Browser,
    notebook7: LabServer,
    submit: Submit,
    request: pytest.FixtureRequest,
    shot_dir: Path,
) -> None:
    submit(process("true", name="seen-from-the-tree")).wait()
    for page in lab_page(browser, notebook7, request, shot_dir, "tree"):
        page.get_by_role("button", name="Show the Bacalhau panel").click()
        panel = page.locator("#bacalhau-panel")
        mine = panel.get_by_role("row").filter(has_text="seen-from-the-tree")
        expect(mine).to_be_visible(timeout=60_000)
        # There is no notebook to put code into.
        mine.hover()
        expect(mine.get_by_role("button", name="Logs")).to_be_visible()
        expect(mine.get_by_role("button", name="Insert code")).to_have_count(0)
        page.screenshot(path=str(shot_dir / "notebook7-tree.png"))


@pytest.mark.parametrize("where", ["tree", "notebooks/seen.ipynb"])
def test_nothing_in_the_panel_is_cut_or_faint_in_notebook_7(
    browser: Browser,
    notebook7: LabServer,
    submit: Submit,
    request: pytest.FixtureRequest,
    shot_dir: Path,
    where: str,
) -> None:
    kind = where.split("/")[0]
    write_notebook(notebook7.root / "seen.ipynb", "1")
    submit_all(submit, kind)
    for page in lab_page(browser, notebook7, request, shot_dir, where):
        page.get_by_role("button", name="Show the Bacalhau panel").click()
        panel = page.locator("#bacalhau-panel")
        expect(panel.get_by_role("grid")).to_be_visible(timeout=60_000)

        def shot(name: str, page: Page = page) -> None:
            page.screenshot(path=str(shot_dir / f"{name}.png"))

        looks = Looks(panel, shot, f"seven-{kind}")
        look_everywhere(panel, kind, looks)
        looks.assert_fine()


def test_the_toolbar_button_makes_a_cell_a_job_in_notebook_7(
    browser: Browser, notebook7: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> None:
    write_notebook(notebook7.root / "button.ipynb", "print(6 * 7)")
    for page in lab_page(browser, notebook7, request, shot_dir, "notebooks/button.ipynb"):
        cell = page.locator(".jp-Notebook .jp-Cell").filter(has_text="print")
        expect(cell).to_be_visible(timeout=60_000)
        cell.locator(".cm-content").click()
        page.get_by_role("button", name="Run this cell on Bacalhau").click()
        expect(cell.locator(".cm-line").first).to_have_text("%%bacalhau python")
        page.get_by_role("button", name="Run this cell in the kernel again").click()
        expect(cell.locator(".cm-line").first).to_have_text("print(6 * 7)")

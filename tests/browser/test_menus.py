"""Job specs and notebooks run from their context menus in a real JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import replace
from tests.browser.lab import LabServer
from tests.browser.panel import open_panel, row
from tests.browser.test_renderer import KERNEL, code
from tests.client.notebooks.test_notebooks import notebook
from tests.services.node import ServedNode

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

Submit = Callable[[JobModel], Job]
SPEC = """
Name: from-a-file
Type: batch
Count: 1
Tasks:
- Name: main
  Engine: {Type: process, Params: {Command: [sh, -c, "echo submitted-from-a-file"]}}
"""


def show_files(page: Page, lab: LabServer) -> None:
    """Load JupyterLab as it is at first, with the file browser in front."""
    page.goto(lab.page(f"lab/workspaces/{uuid4().hex}"))
    expect(page.locator(".jp-DirListing-item").first).to_be_visible(timeout=60_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    # A notice leaves after eight seconds: here it stays until it was seen.
    page.add_style_tag(content=".Toastify__progress-bar { animation-play-state: paused !important }")


def choose(page: Page, file: str, item: str) -> None:
    """Right-click a file of the file browser and take an item of its menu."""
    page.locator(".jp-DirListing-item").filter(has_text=file).click(button="right")
    page.locator(".lm-Menu").get_by_role("menuitem", name=item).click()


def test_a_job_spec_runs_from_the_file_browser(page: Page, lab: LabServer, client: Client) -> None:
    (lab.root / "spec.yaml").write_text(SPEC)
    show_files(page, lab)
    choose(page, "spec.yaml", "Run on Bacalhau")
    toast = page.locator(".Toastify__toast").filter(has_text="is submitted")
    expect(toast).to_be_visible()
    toast.get_by_role("button", name="Show").click()
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("log")).to_contain_text("submitted-from-a-file")
    assert [job for job in client.jobs() if job.name == "from-a-file"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPEC.replace("Count: 1", "Count: many"), "Count"),
        (SPEC.replace("Type: batch", "Type: [batch"), "line"),
        ("- just\n- a list\n", "must be a mapping"),
        (SPEC.replace("Name: main", "Name: ''"), "Name"),
    ],
)
def test_a_bad_spec_is_refused_with_its_field(page: Page, lab: LabServer, text: str, message: str) -> None:
    (lab.root / "bad.yml").write_text(text)
    show_files(page, lab)
    choose(page, "bad.yml", "Run on Bacalhau")
    shown = page.locator(".jp-Dialog, .Toastify__toast").filter(has_text=message)
    expect(shown.first).to_be_visible()


def test_other_files_are_not_offered(page: Page, lab: LabServer) -> None:
    (lab.root / "plain.txt").write_text("x")
    show_files(page, lab)
    page.locator(".jp-DirListing-item").filter(has_text="plain.txt").click(button="right")
    expect(page.locator(".lm-Menu").get_by_role("menuitem", name="Rename")).to_be_visible()
    for item in ("Run on Bacalhau", "Run as job"):
        expect(page.locator(".lm-Menu").get_by_role("menuitem", name=item)).to_have_count(0)


def test_a_notebook_runs_as_a_job_with_changed_parameters(page: Page, lab: LabServer) -> None:
    pytest.importorskip("nbclient")
    first = {**code("x = 1  # how many\nname = 'Ana'"), "metadata": {"tags": ["parameters"]}}
    made = notebook(first, code("print('x is', x * 2, name)"), kernelspec=KERNEL)
    (lab.root / "params.ipynb").write_text(json.dumps(made))
    show_files(page, lab)
    choose(page, "params.ipynb", "Run as job")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("name", exact=True)).to_have_value("'Ana'")
    dialog.get_by_label("x", exact=True).fill("21")
    dialog.get_by_role("button", name="Run").click()
    done = page.locator(".Toastify__toast").filter(has_text="The executed copy is")
    expect(done).to_be_visible(timeout=90_000)
    done.get_by_role("button", name="Open").click()
    opened = page.locator(".jp-NotebookPanel:visible")
    expect(opened).to_contain_text("x is 42 Ana", timeout=60_000)


def test_the_way_back_from_a_job_to_its_cell(
    page: Page, lab: LabServer, lab_node: ServedNode, submit: Submit
) -> None:
    cells = [code(f"# cell {number}" + "\n#" * 30) for number in range(12)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    made = {**notebook(*cells, kernelspec=KERNEL), "nbformat_minor": 5}
    (lab.root / "origin.ipynb").write_text(json.dumps(made))
    # The cluster knows a name that says nothing; the user's own record says which notebook that is.
    meta = {"jupyter.org/session": "0123456789abcdef0123456789abcdef", "jupyter.org/cell": "cell-11"}
    job = submit(replace(process("true", name="comes-from-a-cell"), meta=meta))
    notebook_path = str(lab.root / "origin.ipynb")
    Submissions(lab_node.repo).add(Submission(job.id, notebook=notebook_path, cell="cell-11"))
    job.wait()
    panel = open_panel(page)
    row(panel, "comes-from-a-cell").click()
    panel.get_by_role("button", name="Show the cell that submitted it").click()
    expect(page.locator(".jp-Cell").filter(has_text=re.compile("cell 11"))).to_be_in_viewport(timeout=60_000)

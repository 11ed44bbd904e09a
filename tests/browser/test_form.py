"""The form in a real JupyterLab: a person fills it, sees the equal cell, submits, and sees the result."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.looks import LEAST_CONTRAST
from tests.browser.panel import CONTRAST, put_setting
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip

pytest.importorskip("playwright.sync_api")
pytest.importorskip("ipywidgets")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.services.node import ServedNode

NAME = "form.ipynb"
THEMES = "@jupyterlab/apputils-extension:themes"
HOSTILE = """
from bacalhau_jupyter import JobForm
attack = "<img src=x onerror=\\"top.attacked = 1\\">$\\\\href{javascript:top.attacked=2}{x}$"
JobForm({"Type": attack, "Name": attack, "Labels": {attack: attack}, "Meta": {attack: attack},
         "Tasks": [{"Name": attack, "Engine": {"Type": attack}, "Resources": {"Memory": attack}}]})
"""


def write_notebook(root: Path) -> None:
    """Write a notebook that opens a form, and one with a hostile spec."""
    sources = ["%load_ext bacalhau_jupyter", "%bacalhau form", HOSTILE]
    made = notebook(
        *({**cell(source), "outputs": [], "execution_count": None} for source in sources),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    (root / NAME).write_text(json.dumps(made))


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """The notebook in JupyterLab."""
    write_notebook(lab.root)
    yield from lab_page(browser, lab, request, shot_dir, f"lab/tree/{NAME}")


@pytest.fixture
def page7(
    browser: Browser,
    lab_node: ServedNode,
    request: pytest.FixtureRequest,
    shot_dir: Path,
    tmp_path: Path,
) -> Iterator[Page]:
    """The notebook in Notebook 7."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path / "notebook7", repo=lab_node.repo.path, application="notebook")
    try:
        write_notebook(started.root)
        with contextmanager(lab_page)(browser, started, request, shot_dir, f"notebooks/{NAME}") as page:
            started.await_connected_kernel()
            yield page
    finally:
        started.stop()


def run_cell(page: Page, number: int) -> None:
    page.locator(".jp-Cell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def opened_form(page: Page) -> Locator:
    """Run the cells up to the form; return where it stands."""
    first = page.locator(".jp-Cell").first

    def is_taken() -> bool:
        # What is run before the page has heard of the kernel is dropped.
        run_cell(page, 0)
        return re.search(r"\[[*\d]\]:", first.inner_text()) is not None

    assert wait_until(is_taken, timeout_s=60, interval_s=0.5)
    expect(first).to_contain_text(re.compile(r"\[\d\]:"), timeout=60_000)
    run_cell(page, 1)
    form = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    expect(form.get_by_label("Runs")).to_be_visible(timeout=60_000)
    return form


def test_a_form_works_in_notebook_7(page7: Page) -> None:
    form = opened_form(page7)
    form.get_by_label("Runs").select_option("sh")
    form.get_by_label("Code").fill("echo made in notebook 7")
    expect(form).to_contain_text("%%bacalhau sh")
    form.get_by_role("button", name="Submit").click()
    expect(form.get_by_role("button", name="Show in the panel")).to_be_visible(timeout=60_000)
    expect(form.locator(".jp-OutputArea-output").filter(has_text="made in notebook 7").last).to_be_visible()


def test_a_newcomer_gets_by_with_code_and_submit(page: Page, shot: Shot) -> None:
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    form = opened_form(page)
    expect(form.get_by_label("Runs")).to_have_value("python")
    expect(form).to_contain_text("%%bacalhau python")
    expect(form).not_to_contain_text("has no body")
    shot("form-opened")
    form.get_by_role("button", name="Submit").click()
    expect(form).to_contain_text("the cell has no body for python to run")
    shot("form-nothing-to-run")
    form.get_by_label("Code").fill("print('first steps', flush=True)\nimport time; time.sleep(3)")
    expect(form).not_to_contain_text("has no body")
    form.get_by_role("button", name="Submit").click()
    # The equal cell holds the code as well.
    printed = form.get_by_text(re.compile(r"^\s*first steps\s*$"))
    expect(printed.first).to_be_visible(timeout=60_000)
    # It stands below the form: the card does not open the log as well.
    expect(form.get_by_role("log")).to_have_count(0)
    expect(form.locator(".jp-Bacalhau-badge")).to_contain_text("Completed", timeout=60_000)
    expect(printed).to_have_count(1)
    # A card asks about its job once it is seen.
    printed.scroll_into_view_if_needed()
    expect(form.get_by_role("button", name="Show in the panel")).to_be_visible(timeout=60_000)
    shot("form-first-steps")
    for tab in ("Data", "Resources", "More", "Program"):
        form.get_by_role("tab", name=tab).click()
        shot(f"form-tab-{tab.lower()}")


def test_a_form_is_filled_submitted_and_shows_its_result(page: Page, shot: Shot) -> None:
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    form = opened_form(page)
    form.get_by_label("Runs").select_option("sh")
    form.get_by_label("Code").fill("echo made by a form; echo 1,2 > outputs/a.csv")
    form.get_by_label("Environment").fill("WORD=x y")
    expect(form).to_contain_text("%%bacalhau sh -e 'WORD=x y'")
    form.get_by_role("tab", name="Resources").click()
    expect(form).to_contain_text("free: ")
    form.get_by_label("Memory").fill("512")
    expect(form).to_contain_text("look at Memory (Resources)")
    expect(form).to_contain_text("did you mean --memory 512mb?")
    expect(form.get_by_role("button", name="Submit")).to_be_disabled()
    shot("form-problem")
    form.get_by_label("Memory").fill("512mb")
    expect(form).to_contain_text("the node would take this job")
    form.get_by_role("tab", name="YAML").click()
    expect(form).to_contain_text("Memory: 512mb")

    form.get_by_role("button", name="Submit").click()
    expect(form).to_contain_text("made by a form", timeout=60_000)
    expect(form).to_contain_text("a.csv", timeout=60_000)
    expect(form.get_by_role("button", name="Show in the panel")).to_be_visible()
    shot("form-result")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_text_of_a_form_can_be_read_in_both_themes(
    page: Page, lab: LabServer, shot: Shot, theme: str
) -> None:
    put_setting(lab, THEMES, {"theme": theme})
    try:
        page.reload()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme, timeout=60_000)
        expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        form = opened_form(page)
        form.get_by_role("tab", name="Resources").click()
        expect(form).to_contain_text("free: ")
        form.get_by_label("Memory").fill("512")
        expect(form).to_contain_text("did you mean --memory 512mb?")
        form.get_by_role("tab", name="YAML").click()
        expect(form).to_contain_text("join the YAML when the job is submitted")
        shot(f"form-{theme.split()[1].lower()}")
        note = form.get_by_text("did you mean --memory 512mb?")
        assert note.evaluate("e => getComputedStyle(e).wordBreak") == "normal", "no word is cut in two"
        seen = page.evaluate(CONTRAST.replace("#bacalhau-panel", ".jp-Cell-outputArea .jupyter-widgets"))
    finally:
        put_setting(lab, THEMES, {"theme": "JupyterLab Light"})
    assert len(seen) > 10
    # What can't be pressed may be faint; the labels of tabs are the widgets' own.
    ours = [text for text in seen if text[0] != "Submit" and text[1] != "lm-TabBar-tabLabel"]
    faint = [text for text in ours if text[2] < LEAST_CONTRAST]
    assert faint == []


def test_a_hostile_spec_is_text_in_a_form(page: Page, shot: Shot) -> None:
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    run_cell(page, 2)
    form = page.locator(".jp-Cell").nth(2).locator(".jp-Cell-outputArea")
    expect(form).to_contain_text("fields kept: meta", timeout=60_000)
    for tab in ("Data", "Resources", "More", "YAML"):
        form.get_by_role("tab", name=tab).click()
    expect(form).to_contain_text("<img src=x")
    shot("form-hostile")
    assert page.evaluate("top.attacked") is None
    assert form.locator("img[src=x], a[href^=javascript]").count() == 0


def test_the_control_an_unescaped_name_acts_in_the_page(page: Page) -> None:
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    unescaped = "from bacalhau_jupyter.notebook.form import view\nview.code_html = lambda text: text\n"
    page.locator(".jp-Cell").nth(2).locator(".cm-content").fill(unescaped + HOSTILE)
    run_cell(page, 2)
    page.wait_for_function("top.attacked !== undefined", timeout=60_000)

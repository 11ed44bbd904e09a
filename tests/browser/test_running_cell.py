"""A running cell in a real JupyterLab: its card is first and stays, Stop works while the cell blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Shot, lab_page
from tests.browser.lab import LabServer
from tests.client.notebooks.test_notebooks import cell, notebook

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BAR = (
    "%%bacalhau python\nimport sys, time\nfor i in range(41):\n"
    "    print(f'\\r{i:2d}/40 ' + '#' * i, end='', file=sys.stderr, flush=True); time.sleep(0.1)\n"
    "print('\\nend-of-the-bar')"
)
PARTS = (
    "%%bacalhau sh --count 3 --cpu 0.1 --memory 64mb\n"
    "echo this is $BACALHAU_PARTITION_INDEX\n"
    "case $BACALHAU_PARTITION_INDEX in 1) exit 3;; 2) sleep 300;; esac"
)
CELLS = (
    "%load_ext bacalhau_jupyter",
    "%%bacalhau sh\necho started; sleep 120",
    BAR,
    "%%bacalhau sh\nexit 3",
    PARTS,
)


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook, whose kernel has loaded the extension."""
    cells = [{**cell(source), "outputs": [], "execution_count": None} for source in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    # A kernel of its own for each test.
    name = f"{request.node.name}.ipynb"
    (lab.root / name).write_text(json.dumps(notebook(*cells, kernelspec=kernel)))
    for opened in lab_page(browser, lab, request, shot_dir, f"lab/tree/{name}"):
        # Lab drops what is run before the kernel is there.
        expect(opened.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        run(opened, 0)
        expect(opened.locator(".jp-Cell").first).to_contain_text("[1]:", timeout=60_000)
        yield opened


def run(page: Page, number: int) -> Locator:
    """Run a cell; return where its outputs appear."""
    page.locator(".jp-Cell").nth(number).click()
    page.keyboard.press("Shift+Enter")
    return page.locator(".jp-Cell").nth(number).locator(".jp-Cell-outputArea")


def test_stop_works_while_the_cell_blocks_and_leaves_the_record(page: Page) -> None:
    outputs = run(page, 1)
    expect(outputs).to_contain_text("started", timeout=60_000)
    card = outputs.locator(".jp-Bacalhau-output")
    expect(card).to_have_count(1)
    # The kernel is at work, and the page says so.
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Busy")).to_be_visible()
    card.get_by_role("button", name="Stop").click(timeout=60_000)
    expect(outputs).to_contain_text("was stopped", timeout=60_000)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(card).to_contain_text("Stopped")
    expect(outputs.get_by_role("button", name="Stop")).to_have_count(0)


def test_the_card_stays_above_a_bar_that_is_never_cut_in_two(page: Page, shot: Shot) -> None:
    outputs = run(page, 2)
    parts = outputs.locator(".jp-OutputArea-child")
    expect(parts.first.locator(".jp-Bacalhau-output")).to_be_visible(timeout=60_000)
    expect(parts.nth(1)).to_contain_text("#" * 10, timeout=60_000)
    # The cell prints: no second copy of it in the card.
    expect(outputs.get_by_role("log")).to_have_count(0)
    shot("bar")
    expect(outputs).to_contain_text("end-of-the-bar", timeout=60_000)
    expect(parts.first).to_contain_text("Completed")
    bar = outputs.locator("[data-mime-type='application/vnd.jupyter.stderr']")
    expect(bar).to_have_count(1)
    assert bar.inner_text().strip() == "40/40 " + "#" * 40


def test_a_program_that_failed_is_red_although_the_job_is_completed(page: Page, shot: Shot) -> None:
    card = run(page, 3).locator(".jp-Bacalhau-output")
    badge = card.locator(".jp-Bacalhau-badge")
    expect(badge).to_contain_text("exit 3", timeout=60_000)
    expect(badge).to_have_attribute("data-state", "Failed")
    # One story: the official word is for those who ask.
    expect(badge).to_have_text("✕exit 3")
    expect(badge).to_have_attribute("data-outcome", "failed")
    expect(badge).to_have_attribute("title", "exit 3; Bacalhau calls it Completed")
    shot("failed-program")


def test_the_parts_of_a_job_are_told_one_by_one_and_the_log_of_each_is_there(page: Page, shot: Shot) -> None:
    card = run(page, 4).locator(".jp-Bacalhau-output")
    parts = card.get_by_role("group", name="Parts of the job")
    expect(parts).to_contain_text("2 of 3 done, 1 failed, 1 running", timeout=60_000)
    rows = parts.get_by_role("row")
    expect(card).not_to_contain_text("publishing")
    expect(rows.nth(0)).to_contain_text("part 0Succeeded")
    expect(rows.nth(1)).to_contain_text("part 1exit 3")
    expect(rows.nth(2)).to_contain_text("part 2Running")
    for number in (1, 2):
        parts.get_by_role("button", name=f"Log of part {number}").click()
        expect(card.get_by_role("log")).to_contain_text(f"this is {number}")
        expect(card.get_by_role("log").locator(".jp-Bacalhau-line")).to_have_count(1)
    shot("parts")
    parts.get_by_role("button", name="Log of part 2").click()
    expect(card.get_by_role("log")).to_have_count(0)
    card.get_by_role("button", name="Show in the panel").click()
    panel = page.locator("#bacalhau-panel")
    panel.get_by_role("tab", name="Executions", exact=True).click()
    executions = panel.get_by_role("list", name="Executions").get_by_role("listitem")
    expect(executions.filter(has_text="part 1 · e-")).to_contain_text("exit 3")
    card.get_by_role("button", name="Stop").click()
    expect(rows.nth(2)).to_contain_text("part 2Stopped", timeout=60_000)

"""The one card of many jobs in JupyterLab: a sweep that runs, is left alone, found again, and stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SWEEP = "%%bacalhau sh --sweep n=1:3:1\n[ $N = 1 ] && exit 0\n[ $N = 2 ] && exit 3\nsleep 300"

Open = Callable[[], "Page"]


@pytest.fixture
def opened(
    browser: Browser, lab: LabServer, client: Client, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Open]:
    """Open the notebook with the sweep in a page of its own; what still runs at the end is stopped."""
    name = f"{request.node.name}.ipynb"
    sources = ("%load_ext bacalhau_jupyter", SWEEP)
    cells = [{**cell(source), "outputs": [], "execution_count": None} for source in sources]
    for number, one in enumerate(cells):
        one["id"] = f"cell-{number}"
    (lab.root / name).write_text(json.dumps({**notebook(*cells, kernelspec=KERNEL), "nbformat_minor": 5}))
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            contextmanager(lab_page)(browser, lab, request, shot_dir, f"lab/tree/{name}")
        )
    for job in client.jobs(limit=0):
        if not job.state.state_type.is_terminal:
            client.job(job.id).stop()


def card_of(page: Page) -> Locator:
    """Return the card below the sweep's cell."""
    return page.locator(".jp-Cell").nth(1).get_by_role("group", name="Jobs of this cell")


def run_sweep(page: Page) -> Locator:
    """Run both cells until one job of the sweep is left; return the card."""
    # What is run before there is a kernel makes Lab ask which one.
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    first = page.locator(".jp-Cell").first

    def is_taken() -> bool:
        # Lab drops what is run before it has heard of the kernel.
        first.click()
        page.keyboard.press("Shift+Enter")
        return re.search(r"\[[*\d]\]:", first.inner_text()) is not None

    assert wait_until(is_taken, timeout_s=60, interval_s=0.5)
    expect(first).to_contain_text(re.compile(r"\[\d\]:"), timeout=60_000)
    page.locator(".jp-Cell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    card = card_of(page)
    expect(card).to_contain_text("2 of 3 done, 1 failed, 1 running", timeout=60_000)
    return card


def rows(card: Locator) -> list[str]:
    return [text.partition("\t")[0] for text in card.locator("tbody tr").all_inner_texts()]


def test_a_sweep_is_one_card_whose_stop_ends_all_that_still_runs(opened: Open, shot_dir: Path) -> None:
    page = opened()
    card = run_sweep(page)
    expect(card).to_have_count(1)
    assert rows(card) == ["n=1", "n=2", "n=3"]
    expect(card.locator("tbody tr").nth(1)).to_contain_text("exit 3")
    page.screenshot(path=str(shot_dir / "sweep-running.png"))
    card.get_by_role("button", name="Stop all that still run").click()
    expect(card).to_contain_text("3 of 3 done, 1 failed, 1 stopped", timeout=60_000)
    # The cell runs in this page: nobody is asked what is meant.
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(card.get_by_role("button", name="Stop all that still run")).to_have_count(0)
    expect(page.locator(".jp-Cell").nth(1)).to_contain_text("2 of 3 combinations failed", timeout=60_000)
    card.get_by_role("button", name="Show n=2 in the panel").click()
    expect(page.locator("#bacalhau-panel")).to_contain_text("exit 3")
    page.screenshot(path=str(shot_dir / "sweep-stopped.png"))


def test_a_sweep_that_was_never_saved_is_found_again_and_stopped(opened: Open, shot_dir: Path) -> None:
    first = opened()
    run_sweep(first)
    first.close()
    page = opened()
    card = card_of(page)
    expect(card).to_contain_text("2 of 3 done, 1 failed, 1 running", timeout=60_000)
    expect(card).to_have_count(1)
    assert rows(card) == ["n=1", "n=2", "n=3"]
    page.screenshot(path=str(shot_dir / "sweep-adopted.png"))
    card.get_by_role("button", name="Stop all that still run").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(card).to_contain_text("3 of 3 done, 1 failed, 1 stopped", timeout=60_000)

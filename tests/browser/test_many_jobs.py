"""Ten thousand jobs: the panel draws the rows in sight; `python -m benchmarks panel` has the times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import SCROLL, SHOWN, fill
from tests.services.fixtures import service_or_skip
from tests.services.node import start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MANY = 10_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def full_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab on a node that has ten thousand jobs, none of which runs."""
    service_or_skip(built_labextension)
    directory = tmp_path_factory.mktemp("many")
    node = service_or_skip(lambda: start_node(directory / "repo", roles=["--orchestrator"]))
    try:
        fill(node, MANY)
        lab = start_lab(directory / "lab", repo=node.repo.path)
        yield lab
        lab.stop()
    finally:
        node.stop()


@pytest.fixture
def page(
    browser: Browser, full_lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """A page on the server with many jobs."""
    yield from lab_page(browser, full_lab, request, shot_dir)


def test_ten_thousand_jobs_are_listed_by_the_rows_in_sight(page: Page, shot: Shot) -> None:
    expect(page.get_by_role("button", name=re.compile("Bacalhau: .* running"))).to_be_visible()
    page.wait_for_load_state("networkidle")  # JupyterLab itself has settled
    page.evaluate(SHOWN)
    panel = page.locator("#bacalhau-panel")
    expect(panel.locator(".jp-Bacalhau-count")).to_have_text(f"{MANY} jobs", timeout=60_000)
    assert panel.get_by_role("row").count() < 60
    page.evaluate(SCROLL)
    assert panel.get_by_role("row").count() < 60
    shot("ten-thousand-jobs")
    panel.get_by_role("searchbox").fill("many-00042")
    expect(panel.get_by_role("row")).to_have_count(1)

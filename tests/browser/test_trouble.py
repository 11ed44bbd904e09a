"""What a person sees when something is missing, broken, or far too much."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import start_lab
from tests.services.fixtures import service_or_skip

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Submit = Callable[[JobModel], Job]


@pytest.fixture
def page_without_server_half(
    browser: Browser, tmp_path: Path, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """JupyterLab with the front end only."""
    service_or_skip(built_labextension)
    lab = start_lab(tmp_path / "lab", extension=False)
    try:
        yield from lab_page(browser, lab, request, shot_dir)
    finally:
        lab.stop()


def test_without_the_server_extension_the_panel_explains_what_to_do(
    page_without_server_half: Page, shot_dir: Path
) -> None:
    page = page_without_server_half
    page.get_by_role("button", name="Bacalhau: not connected").click()
    note = page.locator("#bacalhau-panel").get_by_role("alert")
    expect(note).to_contain_text("The Bacalhau server extension is missing")
    expect(note).to_contain_text("jupyter server extension list")
    page.screenshot(path=str(shot_dir / "server-half-missing.png"))


def test_fifty_megabytes_of_log_leave_the_page_alive(page: Page, submit: Submit, shot: Shot) -> None:
    page.get_by_role("button", name=re.compile("Bacalhau: .* running")).click()
    panel = page.locator("#bacalhau-panel")
    text = "for i in range(500_000): print(f'{i:07d} \\x1b[32m' + 'x' * 80 + '\\x1b[0m<script>alert(1)</script>')"
    submit(process(["python3", "-c", text], name="much-to-say")).wait()
    row = panel.get_by_role("row").filter(has_text="much-to-say")
    row.hover()
    row.get_by_role("button", name="Logs").click()
    log = panel.get_by_role("log")
    expect(panel.locator(".jp-Bacalhau-logs-state")).to_have_text("complete", timeout=60_000)
    expect(log).to_contain_text("0499999")
    assert log.locator(".jp-Bacalhau-line").count() < 200
    assert log.locator("script").count() == 0
    panel.get_by_role("searchbox", name="Search the log").fill("0470000")
    expect(log.locator(".jp-mod-hit")).to_contain_text("0470000")
    shot("much-log")


def test_the_list_continues_after_the_network_was_away(page: Page, submit: Submit) -> None:
    page.get_by_role("button", name=re.compile("Bacalhau: .* running")).click()
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("grid")).to_be_visible()
    page.context.set_offline(True)
    job = submit(process("true", name="while-offline"))
    job.wait()
    page.context.set_offline(False)
    row = panel.get_by_role("row").filter(has_text="while-offline")
    expect(row).to_contain_text("Completed", timeout=60_000)

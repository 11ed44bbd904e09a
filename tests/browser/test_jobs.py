"""The Jobs tab in a real browser, against a real node."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.browser.conftest import Shot
from tests.browser.panel import open_panel, row
from tests.services.node import ServedNode
from tests.services.waiting import held, let_go

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

Submit = Callable[[JobModel], Job]


def test_a_job_appears_runs_and_shows_its_output_without_a_reload(
    page: Page, submit: Submit, shot: Shot, lab_node: ServedNode
) -> None:
    panel = open_panel(page)
    submit(process(held("echo to-stdout; echo to-stderr >&2; echo '<b>no markup</b>'"), name="shows-output"))
    mine = row(panel, "shows-output")
    expect(mine).to_contain_text("Running")
    mine.hover()
    mine.get_by_role("button", name="Logs").click()
    log = panel.get_by_role("log")
    expect(log).to_contain_text("to-stdout")
    expect(log.locator("[data-stream='2']")).to_contain_text("to-stderr")
    expect(log).to_contain_text("<b>no markup</b>")
    assert log.locator("b").count() == 0
    shot("logs")
    let_go(lab_node.repo.path)
    expect(panel.locator(".jp-Bacalhau-badge").first).to_contain_text("Completed")
    expect(panel.locator(".jp-Bacalhau-logs-state")).to_have_text("complete")
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.get_by_role("listitem").filter(has_text="Job submitted")).to_be_visible()
    shot("timeline")


def test_a_running_job_is_stopped_from_its_row(page: Page, submit: Submit, shot: Shot) -> None:
    panel = open_panel(page)
    job = submit(process("sleep 300", name="to-be-stopped"))
    mine = row(panel, "to-be-stopped")
    expect(mine).to_contain_text("Running")
    mine.hover()
    shot("jobs")
    mine.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(mine).to_contain_text("Stopped")
    assert job.state is JobStateType.STOPPED


def test_the_list_is_narrowed_by_text_label_and_state(page: Page, submit: Submit) -> None:
    submit(process("true", name="red-one", labels={"colour": "red"})).wait()
    submit(process("sleep 300", name="blue-one", labels={"colour": "blue"}))
    panel = open_panel(page)
    expect(row(panel, "red-one")).to_be_visible()
    panel.get_by_role("searchbox").fill("colour=blue")
    expect(row(panel, "blue-one")).to_be_visible()
    expect(row(panel, "red-one")).to_have_count(0)
    panel.get_by_role("searchbox").fill("-one")
    panel.get_by_label("Filter jobs by outcome").select_option("Succeeded")
    expect(row(panel, "red-one")).to_be_visible()
    expect(row(panel, "blue-one")).to_have_count(0)


def test_a_wrong_exit_code_is_a_failure_in_row_filter_and_details_without_a_request_for_the_row(
    page: Page, submit: Submit, shot: Shot
) -> None:
    submit(process("echo 'KeyError: k' >&2; exit 3", name="exits-with-three")).wait()
    submit(process("true", name="exits-with-zero")).wait()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("exits-with")
    panel.get_by_label("Filter jobs by outcome").select_option("Failed")
    mine = row(panel, "exits-with-three")
    expect(mine).to_contain_text("exit 3")
    expect(mine).to_contain_text("KeyError: k")
    expect(mine.locator("[data-outcome='failed']")).to_have_attribute(
        "title", "exit 3; Bacalhau calls it Completed"
    )
    expect(row(panel, "exits-with-zero")).to_have_count(0)
    panel.get_by_role("searchbox").fill("keyerror")
    expect(mine).to_be_visible()
    page.wait_for_timeout(500)  # rows that lack something would have asked by now
    assert not [url for url in asked if "/executions" in url]
    shot("failed-row")
    mine.click()
    details = panel.get_by_role("region", name="Job exits-with-three")
    expect(details.locator(".jp-Bacalhau-badge").first).to_have_text("✕exit 3")
    panel.get_by_role("tab", name="Executions", exact=True).click()
    ended = panel.get_by_role("list", name="Executions").get_by_role("listitem")
    expect(ended).to_contain_text("exit 3")
    expect(ended).to_contain_text("KeyError: k")
    expect(ended).to_contain_text("on n-")
    # What ran it, as its node calls it.
    expect(ended).to_contain_text(re.compile(r"bubblewrap \d|Landlock"))


def test_the_status_bar_counts_failures_until_somebody_looks(page: Page, submit: Submit) -> None:
    status = page.get_by_role("button", name=re.compile("Bacalhau: .* running"))
    expect(status).to_be_visible()
    submit(process("sleep 0.5; exit 2", name="fails-unseen")).wait()
    submit(process("sleep 0.5", name="ends-well-unseen")).wait()
    expect(status).to_have_accessible_name(re.compile(r", 1 failed$"))
    panel = open_panel(page)
    expect(row(panel, "fails-unseen")).to_contain_text("exit 2")
    expect(status).not_to_have_accessible_name(re.compile("failed"))


def test_keyboard_alone_opens_a_job_and_comes_back(page: Page, submit: Submit) -> None:
    submit(process("echo by-keyboard", name="by-keyboard")).wait()
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("by-keyboard")
    expect(panel.get_by_role("row")).to_have_count(1)
    panel.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    details = panel.get_by_role("region", name="Job by-keyboard")
    expect(details).to_be_focused()
    panel.get_by_role("tab", name="Timeline").focus()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("tab", name="Executions", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("tab", name="Logs", exact=True)).to_be_focused()
    expect(panel.get_by_role("log")).to_contain_text("by-keyboard")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    expect(panel.get_by_role("grid")).to_be_focused()


def test_the_age_of_a_fresh_job_is_counted(page: Page, submit: Submit) -> None:
    panel = open_panel(page)
    submit(process("true", name="ages"))
    age = row(panel, "ages").locator("time")
    first = age.inner_text()
    expect(age).not_to_have_text(first)

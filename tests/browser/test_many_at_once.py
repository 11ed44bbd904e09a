"""Several jobs of the list at once: groups of one cell, picking, deleting, menus, and runs again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import replace
from tests.browser.conftest import Shot
from tests.browser.panel import open_panel, row

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

Submit = Callable[[JobModel], Job]


def of_cell(script: str, title: str) -> JobModel:
    """Return a job as a cell submits it."""
    return replace(process(script), meta={"jupyter.org/title": title, "jupyter.org/cell": "c-1"})


def test_jobs_of_one_run_of_a_cell_stand_under_one_row_that_opens(
    page: Page, submit: Submit, shot: Shot
) -> None:
    for code in (0, 0, 3):
        submit(of_cell(f"exit {code}", "loop.ipynb [3]")).wait()
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("loop.ipynb")
    group = panel.get_by_role("row").filter(has_text="3 jobs")
    expect(panel.get_by_role("row")).to_have_count(1)
    expect(group).to_contain_text("1 failed")
    expect(group).to_contain_text("2 succeeded")
    expect(group).to_have_attribute("aria-expanded", "false")
    panel.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("row")).to_have_count(4)
    shot("group")
    page.keyboard.press("ArrowLeft")
    expect(panel.get_by_role("row")).to_have_count(1)
    group.click()
    expect(panel.get_by_role("row")).to_have_count(4)


def test_several_jobs_are_picked_with_the_mouse_and_deleted(
    page: Page, submit: Submit, client: Client, shot: Shot
) -> None:
    jobs = [submit(process("true", name=f"to-delete-{number}")) for number in range(3)]
    for job in jobs:
        job.wait()
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("to-delete")
    row(panel, "to-delete-2").click(modifiers=["Control"])
    row(panel, "to-delete-0").click(modifiers=["Shift"])
    tools = panel.get_by_role("toolbar", name="Picked jobs")
    expect(tools).to_contain_text("3 picked")
    row(panel, "to-delete-1").click(modifiers=["Control"])
    expect(tools).to_contain_text("2 picked")
    shot("picked")
    row(panel, "to-delete-0").click(button="right")
    expect(page.get_by_role("menuitem", name="Delete 2 jobs…")).to_be_visible()
    page.keyboard.press("Escape")
    tools.get_by_role("button", name="Delete the picked jobs").click()
    expect(page.get_by_role("dialog")).to_contain_text("They leave the list for good")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(panel.get_by_role("row")).to_have_count(1)
    expect(tools).to_have_count(0)
    for number in (0, 2):
        with pytest.raises(NotFound):
            client.job(jobs[number].id)
    assert client.job(jobs[1].id).state.is_terminal


def test_several_jobs_are_picked_and_stopped_with_the_keyboard(page: Page, submit: Submit) -> None:
    jobs = [submit(process("sleep 300", name=f"to-stop-{number}")) for number in range(2)]
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("to-stop")
    for number in range(2):
        expect(row(panel, f"to-stop-{number}")).to_contain_text("Running")
    panel.get_by_role("grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    expect(panel.get_by_role("toolbar", name="Picked jobs")).to_contain_text("2 picked")
    expect(panel.get_by_role("row", selected=True)).to_have_count(2)
    page.keyboard.press("Delete")
    page.get_by_role("dialog").filter(has_text="Stop 2 jobs?").get_by_role("button", name="Stop").click()
    for number in range(2):
        expect(row(panel, f"to-stop-{number}")).to_contain_text("Stopped")
    assert all(job.state.is_terminal for job in jobs)
    panel.get_by_role("grid").focus()
    page.keyboard.press("Escape")
    expect(panel.get_by_role("toolbar", name="Picked jobs")).to_have_count(0)


def test_a_run_again_is_a_new_row_that_leads_to_the_first(page: Page, submit: Submit, shot: Shot) -> None:
    first = submit(process("echo once > outputs/n.txt", name="again-and-again"))
    first.wait()
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("again-and-again")
    row(panel, "again-and-again").click(button="right")
    page.get_by_role("menuitem", name="Run the job again").click()
    expect(panel.get_by_role("row")).to_have_count(2)
    again = panel.get_by_role("row").first
    expect(again).to_contain_text("↻")
    expect(again).to_contain_text("Completed")
    shot("run-again")
    again.click()
    expect(panel).to_contain_text("Runs again:")
    panel.get_by_role("button", name=first.id[:10]).click()
    name = panel.get_by_role("region").locator(".jp-Bacalhau-job-name")
    expect(name).to_have_attribute("title", re.compile(first.id))
    panel.get_by_role("tab", name="Results").click()
    expect(panel.get_by_role("treeitem", name="n.txt")).to_be_visible()


def test_earlier_versions_of_a_job_and_their_results_stay_reachable(
    page: Page, submit: Submit, client: Client, shot: Shot
) -> None:
    job = submit(process("echo one; echo 1 > outputs/first.txt; exit 4", name="versioned"))
    job.wait()
    client.submit(process("echo two; echo 2 > outputs/second.txt", name="versioned"), force=True).wait()
    panel = open_panel(page)
    row(panel, "versioned").click()
    versions = panel.get_by_label("Version of the job")
    expect(versions.locator("option")).to_have_text(["version 2: Completed", "version 1: exit 4"])
    panel.get_by_role("tab", name="Results").click()
    expect(panel.get_by_role("treeitem", name="second.txt")).to_be_visible()
    versions.select_option("version 1: exit 4")
    expect(panel.get_by_role("region", name="Job versioned")).to_contain_text("exit 4")
    expect(panel.get_by_role("treeitem", name="first.txt")).to_be_visible()
    panel.get_by_role("treeitem", name="first.txt").get_by_role("link", name="Download").focus()
    panel.get_by_role("tab", name="Logs").click()
    expect(panel.get_by_role("log")).to_contain_text("one")
    shot("versions")


def test_the_code_of_a_cell_is_shown_before_its_spec(page: Page, submit: Submit, shot: Shot) -> None:
    submit(process("echo first line\necho second", name="shows-code")).wait()
    panel = open_panel(page)
    row(panel, "shows-code").click()
    panel.get_by_role("tab", name="Code").click()
    expect(panel.locator("pre[aria-label=Code]")).to_have_text("echo first line\necho second")
    tabs = panel.get_by_role("tablist", name="Parts of the job").get_by_role("tab")
    assert tabs.all_inner_texts()[-2:] == ["Code", "Spec"]
    shot("code")


def test_the_phases_of_a_job_have_their_own_durations_in_order(page: Page, submit: Submit) -> None:
    submit(process("sleep 1.2", name="has-phases")).wait()
    panel = open_panel(page)
    row(panel, "has-phases").click()
    phases = panel.get_by_role("list", name="Phases").get_by_role("listitem")
    expect(phases.first).to_contain_text("waited")
    texts = phases.all_inner_texts()
    assert [text.split()[0] for text in texts] == ["waited", "started", "ran", "published"]
    assert float(texts[2].split()[1]) >= 1.1

"""The panel for everybody: keyboard, screen readers, themes, other languages, and controls that all do something."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.browser.panel import CONTRAST, open_panel, put_setting, row
from tests.client.notebooks.test_notebooks import cell, notebook

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page, Route

Submit = Callable[[JobModel], Job]
THEMES = "@jupyterlab/apputils-extension:themes"
LEAST_CONTRAST = 4.5
COLOURS = r"\033[31mred\033[32mgreen\033[33myellow\033[34mblue\033[35mpink\033[36mcyan\033[2mfaint"
CONTROLS = "button, input, select, [role=tab], [role=grid], [role=log]"
CHANGED = """() => {
  window.changed = 0;
  new MutationObserver(() => window.changed++).observe(document, {subtree: true, childList: true, attributes: true});
}"""
UNNAMED = """nodes => nodes.filter(node => node.offsetParent !== null && !(node.getAttribute('aria-label')
  || node.getAttribute('aria-labelledby') || node.textContent.trim())).map(node => node.outerHTML)"""


@pytest.fixture
def new_page(
    browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Callable[..., Any]:
    """Open a page after the test has prepared the server; a context manager."""
    return lambda path="lab": contextmanager(lab_page)(browser, lab, request, shot_dir, path)


@pytest.fixture
def setting(lab: LabServer) -> Iterator[Callable[..., None]]:
    """Save a setting of JupyterLab for the duration of the test."""
    touched: list[str] = []

    def save(plugin: str, **values: Any) -> None:
        touched.append(plugin)
        put_setting(lab, plugin, values)

    yield save
    for plugin in touched:
        put_setting(lab, plugin, {})


def test_keyboard_alone_finds_a_job_and_stops_it(page: Page, submit: Submit) -> None:
    job = submit(process("sleep 300", name="stopped-by-keyboard"))
    page.locator("body").press("Control+Alt+b")
    panel = page.locator("#bacalhau-panel")
    expect(row(panel, "stopped-by-keyboard")).to_contain_text("Running")
    tab_to(page, panel.get_by_role("searchbox"))
    page.keyboard.type("stopped-by-keyboard")
    expect(panel.get_by_role("row")).to_have_count(1)
    tab_to(page, panel.get_by_role("grid"))
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    details = panel.get_by_role("region", name="Job stopped-by-keyboard")
    expect(details).to_be_focused()
    tab_to(page, details.get_by_role("button", name="Stop"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(details).to_contain_text("Stopped")
    assert job.state is JobStateType.STOPPED


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if control.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(control).to_be_focused()


def test_screen_readers_hear_a_name_and_a_role_for_every_control(page: Page, submit: Submit) -> None:
    submit(process("echo heard; echo aloud >&2", name="heard")).wait()
    panel = open_panel(page)
    expect(row(panel, "heard")).to_contain_text("Completed")
    row(panel, "heard").hover()
    tree = panel.aria_snapshot()
    for spoken in (
        'searchbox "Filter jobs by name, notebook, error or label"',
        'combobox "Filter jobs by outcome"',
        'grid "Jobs, newest first"',
    ):
        assert spoken in tree, tree
    assert re.search(r'row "[^"]*heard[^"]*Completed', tree), tree
    assert panel.locator(CONTROLS).evaluate_all(UNNAMED) == []
    row(panel, "heard").get_by_role("button", name="Logs").click()
    expect(panel.locator(".jp-Bacalhau-logs-state")).to_have_text("complete")
    tree = panel.aria_snapshot()
    assert 'log "Output of the job"' in tree, tree
    assert 'img "stderr"' in tree, tree
    for part in ("Timeline", "Executions", "Logs", "Results", "Code", "Spec"):
        panel.get_by_role("tab", name=part, exact=True).click()
        assert panel.locator(CONTROLS).evaluate_all(UNNAMED) == []


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_text_can_be_read_in_both_themes(
    theme: str, new_page: Callable[..., Any], setting: Callable[..., None], submit: Submit, shot_dir: Path
) -> None:
    shade = theme.split()[1]
    submit(process("echo seen; echo wrong >&2; exit 3", name=f"wrong-{shade}")).wait()
    submit(process(f"printf '{COLOURS}\n'; echo e >&2", name=f"colours-{shade}")).wait()
    submit(process("sleep 300", name=f"running-{shade}"))
    setting(THEMES, theme=theme)
    with new_page() as page:
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
        panel = open_panel(page)
        expect(row(panel, f"wrong-{shade}")).to_contain_text("exit 3")
        expect(row(panel, f"running-{shade}")).to_contain_text("Running")
        row(panel, f"wrong-{shade}").hover()
        faint = page.evaluate(CONTRAST)
        row(panel, f"colours-{shade}").click()
        for part in ("Timeline", "Executions", "Logs", "Results", "Code", "Spec"):
            panel.get_by_role("tab", name=part, exact=True).click()
            expect(panel.get_by_text("Loading…")).to_have_count(0)
            if part == "Logs":
                expect(panel.get_by_role("log")).to_contain_text("faint")
            faint += page.evaluate(CONTRAST)
        page.screenshot(path=str(shot_dir / f"{theme.replace(' ', '-').lower()}.png"))
        assert len(faint) > 30
        assert [text for text in faint if text[2] < LEAST_CONTRAST] == []


def test_no_control_is_fake(page: Page, submit: Submit) -> None:
    submit(process("mkdir -p outputs; echo 1 > outputs/one.txt", name="has-all")).wait()
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("has-all")
    expect(row(panel, "has-all")).to_contain_text("Completed")
    places: dict[str, Callable[[], Locator]] = {
        "row": lambda: row(panel, "has-all").last,
        "details": lambda: panel.get_by_role("region", name="Job has-all"),
    }
    tried: dict[str, list[str]] = {}
    for place, find in places.items():
        count, at = 1, 0
        while at < count:
            begin(page, panel, place)
            buttons = find().get_by_role("button")
            count = buttons.count()
            button = buttons.nth(at)
            name = button.get_attribute("aria-label") or button.inner_text()
            expect(button).to_be_enabled()
            page.evaluate(CHANGED)
            button.click()
            page.wait_for_function("() => window.changed > 0")
            tried.setdefault(place, []).append(name)
            at += 1
    assert "Results" in tried["row"]
    assert "Insert code" in tried["row"]
    assert {"Insert code", "Run again", "Delete"} <= set(tried["details"])
    assert panel.locator(":disabled, [aria-disabled=true]").count() == 0
    assert panel.get_by_role("button", name="Explain").count() == 0  # the node does not offer it


def begin(page: Page, panel: Locator, place: str) -> None:
    """Go back to the row, with no dialog in the way, and from there to the place."""
    if page.get_by_role("dialog").count():
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    back = panel.get_by_role("button", name="Back to the list")
    if back.count():
        back.click()
    # The last: a run again stands above it.
    mine = row(panel, "has-all").last
    expect(mine).to_contain_text("Completed")
    mine.hover()
    if place == "details":
        mine.click(position={"x": 20, "y": 10})
        expect(panel.get_by_role("region", name="Job has-all")).to_be_visible()


def test_the_code_that_is_inserted_fetches_the_job(
    new_page: Callable[..., Any], lab: LabServer, submit: Submit
) -> None:
    job = submit(process("echo fetched-by-code", name="to-insert"))
    job.wait()
    name = "insert-code.ipynb"
    empty = {**cell("1 + 1"), "outputs": [], "execution_count": None}
    (lab.root / name).write_text(
        json.dumps(
            notebook(empty, kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"})
        )
    )
    with new_page(f"lab/tree/{name}") as page:
        expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        panel = open_panel(page)
        row(panel, "to-insert").hover()
        row(panel, "to-insert").get_by_role("button", name="Insert code").click()
        inserted = page.locator(".jp-Notebook .jp-Cell").nth(1)
        expect(inserted).to_contain_text(job.id)
        inserted.locator(".cm-content").click()
        page.keyboard.press("Control+End")
        page.keyboard.type("\nprint(*job.logs())")
        page.keyboard.press("Shift+Enter")
        expect(inserted.locator(".jp-OutputArea-output").last).to_contain_text(
            "fetched-by-code", timeout=60_000
        )


def test_the_panel_and_a_job_in_a_tab_are_there_again_after_a_reload(page: Page, submit: Submit) -> None:
    submit(process("echo again", name="in-a-tab")).wait()
    panel = open_panel(page)
    row(panel, "in-a-tab").click()
    panel.get_by_role("button", name="Open in a tab of its own").click()
    main = page.locator(".jp-Bacalhau-main")
    expect(main.get_by_role("log")).to_contain_text("again")
    with page.expect_response(
        lambda answer: "/api/workspaces/" in answer.url and answer.request.method == "PUT"
    ):
        page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#bacalhau-panel").get_by_role("grid")).to_be_visible(timeout=60_000)
    expect(main.get_by_role("log")).to_contain_text("again")


def test_a_language_pack_changes_the_words(
    new_page: Callable[..., Any], browser: Browser, lab: LabServer, submit: Submit, page: Page
) -> None:
    submit(process("true", name="translated")).wait()
    words = {
        "": {"language": "xx", "plural_forms": "nplurals=2; plural=(n != 1);"},
        "Completed": ["Fertig"],
        "Jobs, newest first": ["Aufträge, neueste zuerst"],
        "Filter jobs by outcome": ["Nach Zustand filtern"],
        "Bacalhau: %1 running, %2 waiting": ["Bacalhau: %1 laufen, %2 warten"],
    }

    def answer(route: Route) -> None:
        route.fulfill(json={"data": {"bacalhau_jupyter": words}, "message": ""})

    page.route("**/lab/api/translations/*", answer)
    page.route("**/lab/api/settings/@jupyterlab/translation-extension:plugin*", in_another_language)
    page.reload()
    page.get_by_role("button", name=re.compile("Bacalhau: .* laufen")).click(timeout=60_000)
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("grid", name="Aufträge, neueste zuerst")).to_be_visible()
    expect(panel.get_by_label("Nach Zustand filtern")).to_be_visible()
    expect(row(panel, "translated").first).to_contain_text("Fertig")


def in_another_language(route: Route) -> None:
    """Answer as if the user had chosen a language that the server does not have."""
    answer = route.fetch()
    body = answer.json()
    body["raw"] = json.dumps({"locale": "xx_XX"})
    body["settings"] = {"locale": "xx_XX"}
    route.fulfill(response=answer, json=body)


def test_hostile_names_and_labels_are_text(page: Page, submit: Submit) -> None:
    evil = "<img src=x onerror=alert(1)>"
    submit(process("true", name="hostile", labels={"note": evil}, env={"X": evil})).wait()
    dialogs: list[str] = []

    def take(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", take)
    panel = open_panel(page)
    panel.get_by_role("searchbox").fill("onerror")
    row(panel, "hostile").click()
    panel.get_by_role("tab", name="Spec").click()
    expect(panel.locator("pre")).to_contain_text(evil)
    assert panel.locator("img:not([role])").count() == 0
    assert dialogs == []

"""The files of results in a real JupyterLab: its own viewers, only as much as is looked at."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import Shot
from tests.browser.panel import open_panel, row

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

Submit = Callable[[JobModel], Job]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def open_results(page: Page, submit: Submit, script: str, name: str) -> Locator:
    """Run a job to its end, show its results in the panel, and return the panel."""
    submit(process(script, name=name)).wait()
    panel = open_panel(page)
    mine = row(panel, name)
    expect(mine).to_contain_text("Completed")
    mine.click()
    panel.get_by_role("tab", name="Results").click()
    expect(panel.get_by_role("tree").first).to_be_visible()
    return panel


def file(panel: Locator, name: str) -> Locator:
    """Return the line of a file."""
    return panel.get_by_role("treeitem").filter(has_text=name)


def test_files_open_in_the_viewers_of_jupyterlab(page: Page, submit: Submit, shot: Shot) -> None:
    script = (
        "cd outputs; printf 'region,revenue\\nnorth,7\\nsouth,5\\n' > top.csv; echo '{\"key\": [1, 2]}' > data.json;"
        f"echo {PIXEL} | base64 -d > dot.png; echo '# not a heading' > notes.md; mkdir deep; echo in > deep/inner.txt"
    )
    panel = open_results(page, submit, script, "viewers")
    main = page.locator("#jp-main-dock-panel")
    file(panel, "top.csv").click()
    expect(main.locator(".jp-CSVViewer-grid, .jp-CSVViewer").first).to_be_visible()
    shot("result-csv")
    file(panel, "data.json").click()
    expect(main.locator(".jp-RenderedJSON")).to_contain_text("key")
    file(panel, "dot.png").click()
    expect(main.locator(".jp-ImageViewer img")).to_be_visible()
    file(panel, "notes.md").click()
    expect(main.locator(".jp-FileEditor:visible")).to_contain_text("# not a heading")
    panel.get_by_role("treeitem", name=re.compile("deep")).click()
    file(panel, "inner.txt").click()
    expect(main.locator(".jp-FileEditor:visible")).to_contain_text("in")


def test_of_a_large_text_only_the_beginning_is_fetched_and_that_is_said(page: Page, submit: Submit) -> None:
    panel = open_results(page, submit, "yes 1,2,3 | head -c 30000000 > outputs/big.csv", "large")
    fetched: list[int] = []
    page.on(
        "response",
        lambda answer: (
            fetched.append(int(answer.headers.get("content-length", 0))) if "big.csv" in answer.url else None
        ),
    )
    file(panel, "big.csv").click()
    note = page.locator(".jp-Bacalhau-cutNote")
    expect(note).to_contain_text("Showing the first 1.0 MB of 30 MB")
    assert sum(fetched) <= 2_000_000
    with page.expect_download() as download:
        note.get_by_role("link", name="Download").click()
    assert download.value.path().stat().st_size == 30_000_000


def test_parquet_shows_its_first_rows(page: Page, submit: Submit, shot: Shot) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.table({"city": ["Oslo", "<b>Rome</b>"] * 500, "n": list(range(1000))}), sink)
    script = f"echo {base64.b64encode(sink.getvalue()).decode()} | base64 -d > outputs/t.parquet"
    panel = open_results(page, submit, script, "parquet")
    file(panel, "t.parquet").click()
    main = page.locator("#jp-main-dock-panel")
    expect(main.get_by_text("Showing the first 100 of 1000 rows, 2 columns")).to_be_visible()
    expect(main.get_by_role("cell", name="<b>Rome</b>").first).to_be_visible()
    shot("result-parquet")


def test_names_that_lead_elsewhere_or_look_like_others_are_shown_and_not_opened(
    page: Page, submit: Submit
) -> None:
    panel = open_results(page, submit, "echo real > outputs/real.txt", "hostile")
    # No publisher of ours lets such names through; another cluster's might.
    evil = [
        {"Path": "../x", "Size": 3, "Kind": "file"},
        {"Path": "<script>window.hacked=1</script>.txt", "Size": 3, "Kind": "file"},
        {"Path": "a\u202etxt.exe", "Size": 3, "Kind": "file"},
    ]
    listing = {"Results": [{"ExecutionID": "e-1", "NodeID": "n-1", "Type": "local", "Files": evil}]}
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route(re.compile(r"/results/files(\?|$)"), lambda route: route.fulfill(json=listing))
    panel.get_by_role("tab", name="Timeline").click()
    panel.get_by_role("tab", name="Results").click()
    line = file(panel, "../x")
    expect(line).to_have_attribute("title", re.compile("not opened"))
    expect(line.get_by_role("link")).to_have_count(0)
    line.click()
    file(panel, "\\u202e").click()
    expect(file(panel, "<script>")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert not [url for url in asked if "/results/files/" in url]


def test_the_tree_is_walked_with_the_keyboard(page: Page, submit: Submit) -> None:
    panel = open_results(page, submit, "mkdir outputs/deep; echo found > outputs/deep/inner.txt", "keys")
    tree = panel.get_by_role("tree").first
    # The address of the archive stands only where its files can't be listed.
    expect(panel.get_by_role("link", name="Download all")).to_be_visible()
    expect(panel).not_to_contain_text("urlDownload")
    tree.get_by_role("treeitem").first.focus()
    deep = tree.get_by_role("treeitem", name=re.compile("deep"))
    for _ in range(6):
        if deep.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("ArrowDown")
    expect(deep).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(deep).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#jp-main-dock-panel .jp-FileEditor:visible")).to_contain_text("found")


def test_a_cluster_that_lists_no_files_offers_the_whole(page: Page, submit: Submit) -> None:
    def official(route: Route) -> None:
        answer = route.fetch()
        plain = answer.json()
        plain.pop("Features", None)
        route.fulfill(response=answer, json=plain)

    page.route(re.compile(r"/api/v1/agent/node"), official)
    page.reload()
    submit(process("echo x > outputs/x", name="whole")).wait()
    panel = open_panel(page)
    expect(row(panel, "whole")).to_contain_text("Completed")
    row(panel, "whole").click()
    panel.get_by_role("tab", name="Results").click()
    expect(panel.get_by_role("link", name="Download all")).to_be_visible()
    expect(panel).to_contain_text("urlDownload")
    expect(panel.get_by_role("tree")).to_have_count(0)

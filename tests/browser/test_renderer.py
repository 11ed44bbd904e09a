"""Outputs of cells in a real JupyterLab: live while the job runs, and again after a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import put_setting
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.node import ServedNode
from tests.services.ports import free_port

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

Submit = Callable[[JobModel], Job]
MIME = "application/vnd.bacalhau.job+json"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

WATCH_STALLS = """() => {
  const turns = window.turns = [], others = window.others = [];
  const source = 'const tick = () => { postMessage(Date.now()); setTimeout(tick, 10); }; tick();';
  const other = new Worker(URL.createObjectURL(new Blob([source])));
  other.onmessage = message => others.push(message.data);
  const tick = () => { turns.push(Date.now()); setTimeout(tick, 10); };
  return new Promise(done => { other.addEventListener('message', done, {once: true}); tick(); }).then(() => null);
}"""
"""Note when the page's thread gets its turns, and when another thread of the page's process does."""
LONGEST_STALL = """async () => {
  // What the other thread has said is on its way still.
  await new Promise(done => setTimeout(done, 500));
  const {turns, others} = window;
  let longest = 0, at = 1;
  for (const turn of turns) {
    let ran = 0;
    for (; at < others.length && others[at] < turn; at++) ran += Math.min(others[at] - others[at - 1], 100);
    longest = Math.max(longest, ran);
  }
  return longest;
}"""
"""The longest time, in milliseconds, that the page's thread stood still while the other one went on.

Without a processor, on a busy machine, neither of them goes on.
"""


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    """Return a code cell with outputs that are already there."""
    return {**cell(source), "outputs": list(outputs), "execution_count": 1 if outputs else None}


def record(job: str, endpoint: str, **members: Any) -> dict[str, Any]:
    """Return the output that a cell leaves behind."""
    plain = {
        "version": 1,
        "job_id": job,
        "endpoint": endpoint,
        "state": "Running",
        "phase": "running",
        "node": "",
        "runtime": "process",
        "exit_code": None,
        "duration_s": 1.0,
        "results": "",
        "error": "",
        **members,
    }
    data = {MIME: plain, "text/html": "<b>static</b>", "text/plain": "the static text"}
    return {"output_type": "display_data", "data": data, "metadata": {}}


@pytest.fixture
def opened(
    browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Callable[..., Page]]:
    """Write a notebook and open it; ``opened(cells, server=lab)``."""
    pages: list[Iterator[Page]] = []

    def start(*cells: dict[str, Any], server: LabServer = lab) -> Page:
        name = f"{request.node.name}-{len(pages)}.ipynb"
        (server.root / name).write_text(json.dumps(notebook(*cells, kernelspec=KERNEL)))
        pages.append(
            lab_page(browser, server, request, shot_dir, f"lab/workspaces/{uuid4().hex}/tree/{name}")
        )
        return next(pages[-1])

    yield start
    for page in pages:
        next(page, None)


def output(page: Page) -> Locator:
    """Return the first output that our renderer shows."""
    return page.locator(".jp-Bacalhau-output").first


def run_cell(page: Page, number: int) -> Locator:
    """Run a cell and return it."""
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    chosen = page.locator(".jp-Cell").nth(number)
    chosen.click()
    page.keyboard.press("Shift+Enter")
    return chosen


def test_a_cell_runs_live_and_its_output_comes_back_after_the_server_restarted(
    opened: Callable[..., Page], lab_node: ServedNode, tmp_path: Path, shot_dir: Path
) -> None:
    # Others might take a port that was free once, while the server is away.
    server = start_lab(tmp_path / "own", repo=lab_node.repo.path, port=free_port())
    try:
        body = "%%bacalhau sh\necho from-the-job; echo a,b > outputs/t.csv; sleep 4"
        page = opened(code("%load_ext bacalhau_jupyter"), code(body), server=server)
        loaded = run_cell(page, 0)
        expect(loaded).to_contain_text("[1]:", timeout=60_000)
        running = run_cell(page, 1)
        expect(running).to_contain_text("from-the-job", timeout=60_000)
        shown = running.locator(".jp-Bacalhau-output")
        expect(shown).to_contain_text("Completed", timeout=60_000)
        page.screenshot(path=str(shot_dir / "output-light.png"))
        page.keyboard.press("Control+s")
        expect(page.locator(".jp-mod-dirty")).to_have_count(0)
        page.close()
        # The kernel ends with the server; the address, and with it everything the page knew, is another one.
        server.stop()
        server = start_lab(tmp_path / "own", repo=lab_node.repo.path, port=urlsplit(server.url).port or 0)
        put_setting(server, "@jupyterlab/apputils-extension:themes", {"theme": "JupyterLab Dark"})
        again = opened(code("1"), server=server)
        name = "test_a_cell_runs_live_and_its_output_comes_back_after_the_server_restarted-0.ipynb"
        again.goto(server.page(f"lab/tree/{name}"))
        kept = output(again)
        expect(kept).to_contain_text("Completed", timeout=60_000)
        kept.get_by_role("button", name="Logs").click(timeout=60_000)
        expect(kept.get_by_role("log")).to_contain_text("from-the-job")
        kept.get_by_role("button", name="Results").click()
        expect(kept.get_by_role("treeitem", name=re.compile("t.csv"))).to_be_visible()
        again.screenshot(path=str(shot_dir / "output-dark.png"))
    finally:
        server.stop()


def test_a_stored_output_follows_its_job_and_stops_it(
    opened: Callable[..., Page], lab_node: ServedNode, submit: Submit, shot_dir: Path
) -> None:
    hostile = "printf 'going-on <script>window.hacked=1</script> \\033[31mred\\033[0m\\n'; sleep 300"
    job = submit(process(hostile, name="followed <i>x</i>"))
    page = opened(code("%%bacalhau sh", record(job.id, lab_node.url, state="Pending")))
    shown = output(page)
    expect(shown).to_contain_text("followed", timeout=60_000)
    expect(shown).to_contain_text("Running")
    shown.get_by_role("button", name="Logs").click()
    log = shown.get_by_role("log")
    expect(log).to_contain_text("going-on <script>window.hacked=1</script> red")
    expect(log.locator(".jp-Bacalhau-ansi-red")).to_have_text("red")
    assert shown.locator("script, i").count() == 0
    assert page.evaluate("window.hacked") is None
    page.screenshot(path=str(shot_dir / "output-running.png"))
    job.stop()
    expect(shown).to_contain_text("Stopped", timeout=60_000)


def test_all_outputs_of_a_page_share_one_stream(
    opened: Callable[..., Page], lab_node: ServedNode, submit: Submit
) -> None:
    jobs = [submit(process("sleep 300", name=f"shares-{n}")) for n in range(4)]
    page = opened(*(code("1", record(job.id, lab_node.url)) for job in jobs))
    last = page.locator(".jp-Bacalhau-output").filter(has_text="shares-3")
    expect(last).to_contain_text(re.compile("Running|Queued"), timeout=60_000)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.reload()
    expect(last).to_contain_text(re.compile("Running|Queued"), timeout=60_000)
    jobs[3].stop()
    expect(last).to_contain_text("Stopped")
    assert len([url for url in sockets if "orchestrator/events" in url]) == 1


def test_what_the_record_says_is_never_markup_and_another_cluster_is_named(
    opened: Callable[..., Page], lab_node: ServedNode
) -> None:
    evil = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\x1b[31m"
    page = opened(
        code("1", record(f"j-{evil}", "http://10.9.9.9:1234", phase=evil, node=evil, error=evil)),
        code("2", record("j-00000000-0000-4000-8000-000000000000", lab_node.url, state="Completed")),
        code("3", record("j-00000000-0000-4000-8000-000000000001", lab_node.url, version=99)),
        code("4", {**record("", ""), "data": {MIME: ["no", "record"], "text/plain": "the static text"}}),
    )
    outputs = page.locator(".jp-Bacalhau-output")
    expect(outputs.nth(0)).to_contain_text("<script>window.hacked=1</script>", timeout=60_000)
    expect(outputs.nth(0)).to_contain_text("Shown as it was stored")
    expect(outputs.nth(1)).to_contain_text("does not know this job any longer")
    expect(outputs.nth(2)).to_contain_text("A newer release")
    expect(page.locator(".jp-Bacalhau-outputWidget").nth(3)).to_contain_text("the static text")
    assert outputs.nth(0).locator("img, script").count() == 0
    assert page.evaluate("window.hacked") is None


def test_a_job_of_another_cluster_is_shown_as_it_was_stored(opened: Callable[..., Page]) -> None:
    away = record("j-00000000-0000-4000-8000-000000000002", "http://10.9.9.9:1234", state="Completed")
    page = opened(code("1", away))
    shown = output(page)
    expect(shown).to_contain_text(
        "the job ran on http://10.9.9.9:1234, Jupyter is connected to", timeout=60_000
    )
    expect(shown).to_contain_text("Completed")
    expect(shown.get_by_role("button", name="Logs")).to_have_count(0)


def test_without_the_server_half_the_record_is_shown(opened: Callable[..., Page], tmp_path: Path) -> None:
    server = start_lab(tmp_path / "bare", extension=False)
    try:
        stored = record(
            "j-00000000-0000-4000-8000-000000000003", "http://127.0.0.1:1", state="Failed", exit_code=3
        )
        page = opened(code("1", stored), server=server)
        shown = output(page)
        expect(shown).to_contain_text("Failed", timeout=60_000)
        expect(shown).to_contain_text("exit code 3")
        expect(shown).to_contain_text("the Bacalhau server extension is missing")
    finally:
        server.stop()


def test_a_log_of_50_mb_does_not_freeze_the_page(
    opened: Callable[..., Page], lab_node: ServedNode, submit: Submit
) -> None:
    script = "head -c 50000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo the-end"
    job = submit(process(script, name="long-log"))
    job.wait()
    page = opened(code("1", record(job.id, lab_node.url)))
    shown = output(page)
    shown.get_by_role("button", name="Logs").click(timeout=60_000)
    page.evaluate(WATCH_STALLS)
    expect(shown.locator(".jp-Bacalhau-logs-state")).to_have_text("complete", timeout=90_000)
    expect(shown.get_by_role("log")).to_contain_text("the-end")
    # A page that froze would stand still for many seconds while the other thread goes on.
    assert page.evaluate(LONGEST_STALL) < 3000

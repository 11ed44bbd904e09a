"""A cell whose page, kernel or server was away while its job ran, without anybody having saved the notebook."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import replace
from tests.browser.conftest import LOAD_MS, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode
from tests.services.ports import free_port

pytest.importorskip("playwright.sync_api")
pytest.importorskip("notebook")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TICKS = "i=0; while [ $i -lt 3000 ]; do echo tick-$i.; i=$((i+1)); sleep 0.2; done"
LATER = re.compile(r"tick-(1[5-9]|[2-9][0-9]|[0-9]{3,4})\.")

Open = Callable[..., "Page"]


@pytest.fixture(params=["jupyterlab", "notebook"])
def server(
    request: pytest.FixtureRequest, lab_node: ServedNode, client: Client, tmp_path: Path
) -> Iterator[LabServer]:
    """JupyterLab, or Notebook 7; jobs that still run at the end are stopped."""
    service_or_skip(built_labextension)
    # One test ends it and starts it again, at a port that nobody takes meanwhile.
    started = start_lab(
        tmp_path / "own", repo=lab_node.repo.path, port=free_port(), application=request.param
    )
    try:
        yield started
    finally:
        started.stop()
        for job in client.jobs(limit=0):
            if not job.state.state_type.is_terminal:
                client.job(job.id).stop()


@pytest.fixture
def opened(
    browser: Browser, server: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Open]:
    """Open a notebook in a page of its own."""
    with ExitStack() as stack:

        def start(name: str = "n.ipynb") -> Page:
            path = f"lab/tree/{name}" if "jupyterlab" in request.node.name else f"notebooks/{name}"
            return stack.enter_context(contextmanager(lab_page)(browser, server, request, shot_dir, path))

        yield start


def write(server: LabServer, name: str = "n.ipynb", *, ids: bool = True) -> None:
    """Write a notebook whose second cell runs for long."""
    sources = ("%load_ext bacalhau_jupyter", f"%%bacalhau sh\n{TICKS}")
    cells = [{**cell(source), "outputs": [], "execution_count": None} for source in sources]
    for number, one in enumerate(cells):
        one |= {"id": f"cell-{number}"} if ids else {}
    made = {**notebook(*cells, kernelspec=KERNEL), "nbformat_minor": 5 if ids else 4}
    (server.root / name).write_text(json.dumps(made))


def outputs(page: Page) -> Locator:
    """Return the outputs of the cell with the job."""
    return page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")


def run_both(page: Page, server: LabServer) -> None:
    """Run both cells, until the job prints."""
    first = page.locator(".jp-Cell").first

    def is_taken() -> bool:
        # Lab drops what is run before it has heard of the kernel.
        first.click()
        page.keyboard.press("Shift+Enter")
        return re.search(r"\[[*1]\]:", first.inner_text()) is not None

    server.await_connected_kernel()
    assert wait_until(is_taken, timeout_s=60, interval_s=0.5)
    expect(first).to_contain_text(re.compile(r"\[\d\]:"), timeout=60_000)
    page.locator(".jp-Cell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    expect(outputs(page)).to_contain_text("tick-3.", timeout=60_000)
    expect(outputs(page).get_by_role("log")).to_have_count(0)


def submissions_at_load(page: Page) -> list[Any]:
    """Load the page once more and return the record that it gets of its notebook's submissions."""
    address = page.url
    # An answer to the page before may be under way still, and would be gone with that page.
    page.goto("about:blank")
    with page.expect_response(lambda answer: "bacalhau/submissions" in answer.url, timeout=LOAD_MS) as answer:
        page.goto(address, timeout=LOAD_MS)
    submissions: list[Any] = answer.value.json()["submissions"]
    return submissions


def expect_live_card(page: Page) -> Locator:
    """Wait for a card that shows what the job printed after the page, the kernel or the server went; return it."""
    card = outputs(page).locator(".jp-Bacalhau-output")
    expect(card).to_have_count(1, timeout=60_000)
    expect(card).to_contain_text("Running", timeout=60_000)
    expect(card.get_by_role("log")).to_contain_text(LATER, timeout=60_000)
    return card


def test_a_cell_that_was_never_saved_finds_its_job_again(
    server: LabServer, opened: Open, shot_dir: Path
) -> None:
    write(server)
    first = opened()
    run_both(first, server)
    first.close()
    page = opened()
    card = expect_live_card(page)
    page.screenshot(path=str(shot_dir / "adopted.png"))
    card.get_by_role("button", name="Stop").click()
    # In this page the cell does not run: the button asks what it would stop.
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(card).to_contain_text("Stopped", timeout=60_000)


def test_a_copy_of_the_notebook_gets_no_card(server: LabServer, opened: Open) -> None:
    write(server)
    first = opened()
    run_both(first, server)
    write(server, "copy.ipynb")
    copy = opened("copy.ipynb")
    assert submissions_at_load(copy) == []
    expect(copy.locator(".jp-Bacalhau-output")).to_have_count(0)


def test_metadata_alone_puts_no_job_into_a_cell(
    server: LabServer, opened: Open, lab_node: ServedNode, client: Client
) -> None:
    write(server)
    path = str(server.root / "n.ipynb")
    claims = {"jupyter.org/session": path, "jupyter.org/notebook": path, "jupyter.org/cell": "cell-1"}
    job = client.submit(replace(process(["sh", "-c", TICKS], name="forged"), meta=claims))
    page = opened()
    assert submissions_at_load(page) == []
    expect(page.locator(".jp-Bacalhau-output")).to_have_count(0)
    # The control: the same claim in the user's own record is believed.
    record = Submission(job.id, notebook=path, cell="cell-1", run="m", time_ns=time.time_ns())
    Submissions(lab_node.repo).add(record)
    page.reload()
    expect_live_card(page)


def test_a_card_goes_on_when_its_kernel_is_restarted(server: LabServer, opened: Open, client: Client) -> None:
    write(server)
    page = opened()
    run_both(page, server)
    page.get_by_role("button", name="Restart the kernel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    expect_live_card(page)
    assert [job.state.state_type for job in client.jobs(limit=1)] == [JobStateType.RUNNING]


def test_a_card_goes_on_when_a_culler_ends_its_kernel(
    server: LabServer, opened: Open, client: Client
) -> None:
    write(server)
    page = opened()
    run_both(page, server)
    (kernel,) = server.ask("GET", "kernels")
    server.ask("DELETE", f"kernels/{kernel['id']}")
    card = expect_live_card(page)
    expect(card).to_have_count(1)
    assert [job.state.state_type for job in client.jobs(limit=1)] == [JobStateType.RUNNING]


def test_a_card_comes_back_when_the_server_was_restarted(
    server: LabServer, opened: Open, lab_node: ServedNode, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write(server)
    first = opened()
    run_both(first, server)
    first.close()
    server.stop()
    again = start_lab(
        tmp_path / "own",
        repo=lab_node.repo.path,
        port=urlsplit(server.url).port or 0,
        application="jupyterlab" if "jupyterlab" in request.node.name else "notebook",
    )
    server.process = again.process
    expect_live_card(opened())


def test_a_notebook_without_cell_ids_stays_as_it_is(server: LabServer, opened: Open) -> None:
    write(server, ids=False)
    first = opened()
    run_both(first, server)
    first.close()
    page = opened()
    # The job is in the record, and no cell has the name that stands there: Lab draws new ones at each load.
    assert len(submissions_at_load(page)) == 1
    expect(page.locator(".jp-Cell").nth(1)).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Bacalhau-output")).to_have_count(0)

"""A job that waits says for what, wherever a person looks: in its row, its details and the card of its cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import open_panel, row
from tests.browser.test_renderer import KERNEL, code, record
from tests.client.notebooks.test_notebooks import notebook
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HELD_BY_FIRST = "waiting for 1 CPU; `hog` holds it"
HELD_BY_SECOND = "waiting for 1 CPU; `piglet` holds it"
EXPLANATION = re.compile(r"/explanation(\?|$)")


@pytest.fixture
def small_node(tmp_path: Path) -> Iterator[ServedNode]:
    """A node of one core."""
    started = service_or_skip(lambda: start_node(tmp_path / "repo", "-c", "Compute.AllocatedCapacity.CPU=1"))
    yield started
    started.stop()


@pytest.fixture
def small_client(small_node: ServedNode) -> Iterator[Client]:
    """A client of `small_node`, whose jobs end with the test."""
    with Client(small_node.url, data_dir=str(small_node.repo.path)) as connected:
        yield connected
        for job in [connected.job(model.id) for model in connected.jobs()]:
            if not job.state.is_terminal:
                job.stop()


@pytest.fixture
def small_lab(small_node: ServedNode, tmp_path: Path) -> Iterator[LabServer]:
    """JupyterLab that is connected to `small_node`."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path / "lab", repo=small_node.repo.path)
    yield started
    started.stop()


@pytest.fixture
def page(
    browser: Browser,
    small_lab: LabServer,
    small_node: ServedNode,
    small_client: Client,
    request: pytest.FixtureRequest,
    shot_dir: Path,
) -> Iterator[Page]:
    """A notebook with the card of the job `patient`, which waits behind the jobs `hog` and `piglet`."""
    hog = small_client.submit(process("sleep 600", name="hog", cpu="1"))
    assert wait_until(lambda: hog.state is JobStateType.RUNNING, timeout_s=60)
    small_client.submit(process("sleep 600", name="piglet", cpu="1"))
    patient = small_client.submit(process("echo at-last", name="patient", cpu="1"))
    card = record(patient.id, small_node.url, state="Queued", phase="queued", title="patient")
    made = notebook(code("%%bacalhau sh --cpu 1\necho at-last", card), kernelspec=KERNEL)
    (small_lab.root / "waiting.ipynb").write_text(json.dumps(made))
    yield from lab_page(browser, small_lab, request, shot_dir, "lab/tree/waiting.ipynb")


def stop(client: Client, name: str) -> None:
    """Stop the job of a name."""
    (job_id,) = [model.id for model in client.jobs() if model.name == name]
    client.job(job_id).stop()


def test_row_details_and_card_name_the_job_that_holds_the_cpu_and_follow_when_it_is_stopped(
    page: Page, small_client: Client, shot: Shot
) -> None:
    card = page.locator(".jp-Bacalhau-output")
    expect(card).to_contain_text(HELD_BY_FIRST, timeout=60_000)
    # The official text says the same in other words; one of them is enough.
    expect(card).not_to_contain_text("not enough nodes")
    panel = open_panel(page)
    waiting = row(panel, "patient")
    waiting.hover()
    expect(waiting).to_contain_text(HELD_BY_FIRST)
    expect(waiting.locator(".jp-Bacalhau-job")).to_have_attribute("title", re.compile(HELD_BY_FIRST))
    shot("waiting-row")
    waiting.click(position={"x": 20, "y": 10})
    details = panel.get_by_role("region", name="Job patient")
    reason = details.get_by_role("group", name="Why the job waits")
    expect(reason).to_contain_text(HELD_BY_FIRST)
    expect(reason.get_by_role("list", name="What would make it run")).to_contain_text("stop `hog`")
    reason.get_by_text("Nodes (1)").click()
    expect(reason.get_by_role("definition")).to_contain_text("`hog` holds the rest")
    shot("waiting-details")

    stop(small_client, "hog")
    expect(reason).to_contain_text(HELD_BY_SECOND)
    expect(card).to_contain_text(HELD_BY_SECOND)
    panel.get_by_role("button", name="Back to the list").click()
    waiting.hover()
    expect(waiting).to_contain_text(HELD_BY_SECOND)

    stop(small_client, "piglet")
    expect(card).to_contain_text("Completed")
    expect(waiting).to_contain_text("Completed")
    expect(page.get_by_text("holds it")).to_have_count(0)


def test_a_row_asks_for_the_reason_only_while_it_is_pointed_at(page: Page, small_client: Client) -> None:
    (piglet,) = [model.id for model in small_client.jobs() if model.name == "piglet"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    panel = open_panel(page)
    page.mouse.move(900, 500)
    # The card of the other job has asked more than once by now: a row would have, too.
    for _ in range(2):
        with page.expect_request(EXPLANATION):
            pass
    expect(row(panel, "piglet")).to_contain_text("Queued")
    assert [url for url in asked if EXPLANATION.search(url) and piglet in url] == []
    with page.expect_request(re.compile(f"{piglet}/explanation")):
        row(panel, "piglet").hover()

"""The card of a cell: how soon it is there, and what fifty of them on a page take from a kernel."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.config.repo import Repo
from benchmarks.cells.panel import RUNNING, echo, open_page, served
from benchmarks.harness import Row, Unavailable
from tests.browser.conftest import CHROMIUM_FLAGS, built_labextension
from tests.notebook.conftest import Kernel
from tests.services.chromium import chromium
from tests.services.common import ServiceUnavailableError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MIME = "application/vnd.bacalhau.job+json"
CELL = "%%bacalhau sh\ntrue"
BESIDE = "the same kernel, no job, no card"


def measure(quick: bool) -> list[Row]:
    """Cells in a real kernel; then a page full of cards in a real browser, where there is one."""
    rows = soon(3 if quick else 20)
    try:
        path = chromium()
        built_labextension()
        from playwright.sync_api import sync_playwright
    except (ServiceUnavailableError, ImportError) as error:
        raise Unavailable(str(error)) from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        rows.append(beside(browser, quick))
        browser.close()
    return rows


def soon(rounds: int) -> list[Row]:
    """Time the first output of a cell: of the first one, which also starts the node, and of later ones."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-", ignore_cleanup_errors=True) as directory:
        (Path(directory) / "notebook").mkdir()
        kernel = Kernel(Repo(Path(directory) / "repo"), Path(directory) / "notebook")
        try:
            kernel.run("%load_ext bacalhau_jupyter")
            first_s = until_card(kernel)
            later_s = [until_card(kernel) for _ in range(rounds)]
        finally:
            kernel.close()
    return [
        Row("cell starts → card, the first cell (it starts the node)", first_s * 1e3, "ms", target=100),
        Row("cell starts → card, p50", statistics.median(later_s) * 1e3, "ms", target=100),
        Row("cell starts → card, max", max(later_s) * 1e3, "ms", target=100),
    ]


def until_card(kernel: Kernel) -> float:
    """Run a cell; return the seconds from its start (as the kernel says it) to its first output."""
    arrivals_s: list[float] = []
    kernel.run("1")
    begun_s = time.monotonic()
    kernel.run(CELL, on_output=lambda ran: arrivals_s.append(time.monotonic()) if ran.displays else None)
    return arrivals_s[0] - begun_s


def beside(browser: Browser, quick: bool) -> Row:
    """Ask a kernel while a page shows the cards of many running jobs."""
    rounds, samples = (1, 50) if quick else (5, 200)
    with served("--orchestrator", "--compute") as (lab, node):
        page = open_page(browser, lab)
        idle_ms = echo(lab, rounds, samples)
        with Client(node.url, data_dir=str(node.repo.path)) as client:
            jobs = [
                client.submit(process("sleep 600", name=f"card-{number}", cpu=0.01, memory="16mb"))
                for number in range(RUNNING)
            ]
            cells = [cell(job.id, node.url) for job in jobs]
            made = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
            (lab.root / "cards.ipynb").write_text(json.dumps(made))
            page.set_viewport_size({"width": 1280, "height": 6000})
            page.goto(lab.page("lab/tree/cards.ipynb"), timeout=60_000)
            shown = page.locator(".jp-Bacalhau-output").filter(has_text="Running")
            shown.nth(RUNNING // 2).wait_for(timeout=120_000)
            busy_ms = echo(lab, rounds, samples)
            for job in jobs:
                job.stop()
        page.context.close()
    name = f"kernel echo with {RUNNING} running cards on the page, p95"
    return Row(name, busy_ms, "ms", idle_ms, BESIDE, 1.2, target_is_ratio=True)


def cell(job_id: str, endpoint: str) -> dict[str, Any]:
    """Return a cell with the card of a job."""
    record = {"version": 1, "job_id": job_id, "endpoint": endpoint, "state": "Running", "phase": "running"}
    output = {"output_type": "display_data", "data": {MIME: record, "text/plain": job_id}, "metadata": {}}
    return {
        "cell_type": "code",
        "id": job_id[:20],
        "source": CELL,
        "execution_count": 1,
        "metadata": {},
        "outputs": [output],
    }

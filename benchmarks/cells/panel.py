"""The panel in a real JupyterLab and a real Chromium, and what it takes from the kernels beside it."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import json
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from benchmarks.harness import Row, Unavailable, needing_services
from tests.browser.conftest import CHROMIUM_FLAGS, built_labextension
from tests.browser.lab import TOKEN, LabServer, start_lab
from tests.browser.panel import LATENCIES, SCROLL, SHOWN, WATCH, fill, open_panel
from tests.labextension.support import packaging
from tests.services.chromium import chromium
from tests.services.node import ServedNode, start_node

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MANY = 10_000
RUNNING = 50
BESIDE = "the same kernel, no job, panel hidden"


def measure(quick: bool) -> list[Row]:
    """All of it on one machine: browser, Jupyter, kernel, node and jobs share its CPUs."""
    with needing_services():
        path = chromium()
        built_labextension()
    if importlib.util.find_spec("playwright") is None:
        raise Unavailable("playwright is not installed")
    from playwright.sync_api import sync_playwright

    rows = [Row("panel: bundle, gzipped", bundle_kb(), "kB", target=500)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        rows += many_jobs(browser, 1000 if quick else MANY)
        rows += events_and_echo(browser, quick)
        browser.close()
    return rows


def bundle_kb() -> float:
    """Return the size of all scripts and styles that the extension brings, each gzipped, in kB."""
    static = packaging("bundle").output() / "static"
    return sum(len(gzip.compress(path.read_bytes())) for path in static.rglob("*.js")) / 1000


def many_jobs(browser: Browser, many: int) -> list[Row]:
    """Open and scroll a long list."""
    with served("--orchestrator") as (lab, node):
        fill(node, many)
        page = open_page(browser, lab)
        page.wait_for_load_state("networkidle")
        opened = page.evaluate(SHOWN)
        page.wait_for_function(f"document.querySelector('.jp-Bacalhau-count')?.textContent == '{many}'")
        frames = page.evaluate(SCROLL)
        page.context.close()
    return [
        Row(f"panel: open on {many} jobs", opened, "ms", target=300),
        Row(f"panel: frame while {many} jobs scroll, p50", frames[len(frames) // 2], "ms"),
        Row(f"panel: frame while {many} jobs scroll, p95", frames[int(len(frames) * 0.95)], "ms"),
    ]


def events_and_echo(browser: Browser, quick: bool) -> list[Row]:
    """Follow short jobs on screen; then ask a kernel while many jobs run."""
    count, rounds, samples = (5, 1, 50) if quick else (60, 5, 200)
    with (
        served("--orchestrator", "--compute") as (lab, node),
        Client(node.url, data_dir=str(node.repo.path)) as client,
    ):
        page = open_page(browser, lab, WATCH)
        # The quietest round: on a machine that does other things as well an average says nothing about us.
        idle = echo(lab, rounds, samples)
        open_panel(page)
        for number in range(count):
            client.submit(process("true", name=f"seen-{number}")).wait()
        page.wait_for_function(f"Object.keys(shownAt).filter(k => k.endsWith('Completed')).length == {count}")
        latencies_ms = page.evaluate(LATENCIES)
        jobs = [
            client.submit(process("sleep 600", name=f"runs-{number}", cpu=0.01, memory="16mb"))
            for number in range(RUNNING)
        ]
        page.get_by_role("button", name=re.compile(f"Bacalhau: {RUNNING} running")).wait_for(timeout=90_000)
        busy = echo(lab, rounds, samples)
        for job in jobs:
            job.stop()
        page.context.close()
    return [
        Row(
            "panel: change of state → on screen, p50", latencies_ms[len(latencies_ms) // 2], "ms", target=200
        ),
        Row(
            "panel: change of state → on screen, p95",
            latencies_ms[int(len(latencies_ms) * 0.95)],
            "ms",
            target=200,
        ),
        Row(
            f"kernel echo with {RUNNING} running jobs, panel open, p95",
            busy,
            "ms",
            idle,
            BESIDE,
            1.2,
            target_is_ratio=True,
        ),
    ]


@contextmanager
def served(*roles: str) -> Iterator[tuple[LabServer, ServedNode]]:
    """A node, and JupyterLab on it."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-", ignore_cleanup_errors=True) as directory:
        node = start_node(Path(directory) / "repo", "-c", "Logging.Level=warn", roles=roles)
        try:
            lab = start_lab(Path(directory) / "lab", repo=node.repo.path)
            try:
                yield lab, node
            finally:
                lab.stop()
        finally:
            node.stop()


def open_page(browser: Browser, lab: LabServer, script: str = "") -> Page:
    """Open JupyterLab and wait until it is there."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    if script:
        page.add_init_script(f"({script})()")
    page.goto(lab.page(), timeout=60_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
    page.wait_for_selector(".jp-Bacalhau-status", timeout=60_000)
    return page


def echo(lab: LabServer, rounds: int, samples: int) -> float:
    """Return the p95 of the time from a request to a kernel to its reply, in ms: of the quietest round."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's own loop runs in this one
        return thread.submit(lambda: asyncio.run(_echo(lab, rounds, samples))).result(300)


async def _echo(lab: LabServer, rounds: int, samples: int) -> float:
    headers = {"Authorization": f"token {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{lab.url}api/kernels", json={"name": "python3"}) as answer:
            kernel = (await answer.json())["id"]
        async with http.ws_connect(f"{lab.url}api/kernels/{kernel}/channels") as channels:
            await _ask(channels)
            delays = []
            for _ in range(rounds):
                times = sorted([await _ask(channels) for _ in range(samples)])
                delays.append(times[int(len(times) * 0.95)])
        async with http.delete(f"{lab.url}api/kernels/{kernel}"):
            return min(delays)


async def _ask(channels: aiohttp.ClientWebSocketResponse) -> float:
    """Ask the kernel for nothing much; return the milliseconds until its reply."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "kernel_info_request",
        "username": "",
        "session": "bench",
        "version": "5.3",
        "date": "2026-01-01T00:00:00Z",
    }
    message: dict[str, Any] = {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": {},
        "buffers": [],
        "channel": "shell",
    }
    started = time.perf_counter()
    await channels.send_str(json.dumps(message))
    async with asyncio.timeout(60):
        while True:
            reply = json.loads(await channels.receive_str())
            mine = reply["parent_header"].get("msg_id") == header["msg_id"]
            if mine and reply["msg_type"] == "kernel_info_reply":
                return (time.perf_counter() - started) * 1e3

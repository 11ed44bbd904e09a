"""The pictures of the panel in the documentation, taken of real jobs.

`BACALHAU_JUPYTER_SCREENSHOTS=docs/images` writes them where the documentation has them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from tests.browser.conftest import built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import open_panel, put_setting, row
from tests.services.fixtures import service_or_skip
from tests.services.node import ROOT, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

THEMES = "@jupyterlab/apputils-extension:themes"
TRAIN = (
    "for i in 1 2 3 4 5 6 7 8; do printf 'epoch %d  \\033[32mloss 0.%d\\033[0m\\n' $i $((93 - 9 * i)); done;"
    "echo 'warning: learning rate is high' >&2; sleep 300"
)
MOST_BYTES = 200_000


@pytest.fixture
def lab_with_jobs(tmp_path: Path) -> Iterator[LabServer]:
    """JupyterLab on a node that has a few jobs, each in another state."""
    service_or_skip(built_labextension)
    node = service_or_skip(lambda: start_node(tmp_path / "repo"))
    lab = start_lab(tmp_path / "lab", repo=node.repo.path)
    client = Client(node.url, data_dir=str(node.repo.path))
    try:
        labels = {"team": "vision"}
        client.submit(process("mkdir -p outputs; echo 1 > outputs/sales.csv", name="clean-sales")).wait()
        client.submit(process("echo 'no such table' >&2; exit 3", name="nightly-report")).wait()
        stopped = client.submit(process("sleep 300", name="too-slow"))
        stopped.stop()
        stopped.wait()
        client.submit(process("echo thumbnails", name="thumbnails", labels=labels)).wait()
        running = client.submit(process(TRAIN, name="train-model", labels=labels, memory="512mb"))
        yield lab
        running.stop()
    finally:
        client.close()
        lab.stop()
        node.stop()


@pytest.fixture
def lab_with_quickstart(tmp_path: Path) -> Iterator[LabServer]:
    """JupyterLab on a node of its own, with the quickstart notebook and its data."""
    service_or_skip(built_labextension)
    lab = start_lab(tmp_path / "lab")
    shutil.copytree(ROOT / "notebooks" / "data", lab.root / "data")
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", lab.root)
    yield lab
    lab.stop()


def test_picture_of_the_quickstart(
    browser: Browser, lab_with_quickstart: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> None:
    place = "lab/tree/quickstart.ipynb"
    with contextmanager(lab_page)(browser, lab_with_quickstart, request, shot_dir, place) as page:
        page.set_viewport_size({"width": 1280, "height": 1000})
        expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
        page.get_by_text("Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        panel = open_panel(page)
        grouping = page.locator(".jp-CodeCell").filter(has_text="--out summary")
        expect(grouping.locator(".jp-Bacalhau-output")).to_contain_text("Completed", timeout=120_000)
        expect(grouping).to_contain_text("Chinstrap", timeout=60_000)
        # Cells below it run by now, and their jobs stand above its own.
        expect(panel.get_by_role("row").filter(has_text="quickstart.ipynb [3]")).to_be_visible()
        page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").evaluate(
            "element => element.scrollTo(0, 0)"
        )
        page.mouse.move(700, 950)
        picture = shot_dir / "quickstart.png"
        page.screenshot(path=str(picture))
        assert picture.stat().st_size < MOST_BYTES


def test_pictures_of_the_panel(
    browser: Browser, lab_with_jobs: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> None:
    for theme, name in (("JupyterLab Light", "panel"), ("JupyterLab Dark", "panel-dark")):
        put_setting(lab_with_jobs, THEMES, {"theme": theme})
        place = f"lab/workspaces/{name}"
        with contextmanager(lab_page)(browser, lab_with_jobs, request, shot_dir, place) as page:
            page.set_viewport_size({"width": 1120, "height": 520})
            expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
            panel = open_panel(page)
            box = panel.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] + 1, 300)
            page.mouse.down()
            page.mouse.move(430, 300, steps=5)
            page.mouse.up()
            row(panel, "train-model").click()
            panel.get_by_role("button", name="Open in a tab of its own").click()
            panel.get_by_role("button", name="Back to the list").click()
            expect(row(panel, "nightly-report")).to_contain_text("exit 3")
            expect(row(panel, "too-slow")).to_contain_text("Stopped")
            expect(page.locator(".jp-Bacalhau-main").get_by_role("log")).to_contain_text("learning rate")
            page.mouse.move(700, 450)
            picture = shot_dir / f"{name}.png"
            page.screenshot(path=str(picture))
            assert picture.stat().st_size < MOST_BYTES

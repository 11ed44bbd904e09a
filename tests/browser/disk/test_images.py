"""Images that a node keeps without a Docker Engine, in the panel: what they take, and a clean-up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.connection.api import AsyncAPI
from tests.browser.conftest import built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.engines.images.building import build, file, layer, save
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.looks import CUT
from tests.browser.tabs import open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


LONG = "registry.of-a-company.example:5000/department/tools:2026-11"


@pytest.fixture
def images_node(tmp_path: Path) -> Iterator[ServedNode]:
    """A node that runs images itself, and has one."""
    started = service_or_skip(
        lambda: start_node(tmp_path / "repo", "-c", "Engines.Docker.Runtimes=bubblewrap")
    )
    with Client(started.url, data_dir=str(started.repo.path)) as client:
        for name, full in (("tools", LONG), ("others", "others:1")):
            stream = layer(file(name, bytes(range(250)) * 20_000))
            layout = save(build(stream), tmp_path / name, full)
            client.call(_loading(layout))
    yield started
    started.stop()


def _loading(layout: Path) -> Callable[[AsyncAPI], Awaitable[object]]:
    return lambda api: api.images.load(str(layout))


@pytest.fixture
def images_page(
    browser: Browser,
    images_node: ServedNode,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    shot_dir: Path,
) -> Iterator[Page]:
    """JupyterLab, connected to that node."""
    service_or_skip(built_labextension)
    lab: LabServer = start_lab(tmp_path_factory.mktemp("images-lab"), repo=images_node.repo.path)
    yield from lab_page(browser, lab, request, shot_dir)
    lab.stop()


def test_images_are_removed_one_by_one_and_all_at_once_after_a_question(images_page: Page) -> None:
    disk = open_tab(images_page, "Cluster").get_by_role("region", name="Disk")
    kept = disk.get_by_role("meter", name="Images")
    expect(kept).to_have_attribute("aria-valuetext", re.compile(r"10 MB, 2 images of [\d.]+ GB"))

    disk.get_by_text("Which images").click()
    expect(disk.get_by_role("listitem")).to_have_count(2)
    assert images_page.locator("#bacalhau-panel").evaluate(CUT) == []
    disk.get_by_role("button", name="Remove others:1…").click()
    question = images_page.get_by_role("dialog")
    expect(question).to_contain_text("others:1 (5.0 MB) goes")
    question.get_by_role("button", name="Remove").click()
    expect(disk.get_by_role("status")).to_contain_text("Removed: 5.0 MB, 1 image")
    expect(disk.get_by_role("listitem")).to_have_count(1)

    disk.get_by_role("button", name="Remove images…").click()
    question = images_page.get_by_role("dialog")
    expect(question).to_contain_text("has to be loaded again")
    question.get_by_role("button", name="Remove").click()
    expect(kept).to_have_attribute("aria-valuenow", "0")
    expect(disk.get_by_role("listitem")).to_have_count(0)

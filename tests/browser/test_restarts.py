"""The panel after the servers behind it were ended and came back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from tests.browser.conftest import built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.browser.panel import open_panel, row
from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, end_node_of, start_node
from tests.services.ports import free_port
from tests.services.waiting import found, held, let_go

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[LabServer, Client, ServedNode]]:
    """A Jupyter server and a node that the test may end."""
    service_or_skip(built_labextension)
    node = service_or_skip(lambda: start_node(tmp_path / "repo"))
    # Others might take a port that was free once, while the server is away.
    server = start_lab(tmp_path / "lab", repo=node.repo.path, port=free_port())
    client = Client(node.url, data_dir=str(node.repo.path))
    try:
        yield server, client, node
    finally:
        client.close()
        server.stop()
        node.stop()
        end_node_of(node.repo)  # the one that the extension started in its place


def test_the_panel_continues_after_the_jupyter_server_was_restarted(
    browser: Browser,
    own: tuple[LabServer, Client, ServedNode],
    request: pytest.FixtureRequest,
    shot_dir: Path,
    tmp_path: Path,
) -> None:
    server, client, _ = own
    with contextmanager(lab_page)(browser, server, request, shot_dir) as page:
        panel = open_panel(page)
        job = client.submit(process("sleep 300", name="outlives-jupyter"))
        expect(row(panel, "outlives-jupyter")).to_contain_text("Running")
        port = urlsplit(server.url).port or 0
        server.stop()
        expect(page.get_by_role("button", name="Bacalhau: not connected")).to_be_visible()
        expect(panel.get_by_role("alert").first).to_be_visible()
        job.stop()
        again = start_lab(tmp_path / "lab", repo=tmp_path / "repo", port=port)
        server.process = again.process
        expect(row(panel, "outlives-jupyter")).to_contain_text("Stopped", timeout=60_000)
        expect(panel.get_by_role("alert")).to_have_count(0)
        client.submit(process("true", name="after-the-restart"))
        expect(row(panel, "after-the-restart")).to_contain_text("Completed")


def test_the_panel_continues_after_the_node_was_killed(
    browser: Browser,
    own: tuple[LabServer, Client, ServedNode],
    request: pytest.FixtureRequest,
    shot_dir: Path,
    tmp_path: Path,
) -> None:
    server, client, node = own
    with contextmanager(lab_page)(browser, server, request, shot_dir) as page:
        panel = open_panel(page)
        client.submit(process(held("true", "echo done"), name="outlives-the-node"))
        expect(row(panel, "outlives-the-node")).to_contain_text("Running")
        # It runs a moment before it does anything.
        assert wait_until(lambda: bool(found(node.repo.path, "outputs/held")), timeout_s=60)
        node.kill()
        let_go(node.repo.path)
        # The extension starts the node again; its executions go on without it.
        expect(row(panel, "outlives-the-node")).to_contain_text("Completed", timeout=60_000)
        expect(panel.get_by_role("alert")).to_have_count(0, timeout=60_000)
        expect(panel.get_by_role("row")).to_have_count(1)

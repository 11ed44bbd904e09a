"""The stand-alone page of a real node, in a real browser: log in, see a job run, stop it, log out."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from tests.browser.conftest import LOAD_MS, WAIT_MS, built_labextension
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


PASSWORD = "a-password-of-ron"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedNode, str]]:
    """A node that serves the page, and the page's address."""
    service_or_skip(built_labextension)
    users = (
        f"API.Auth.Users=[{{Username: ron, Password: {PASSWORD}, Capabilities: [{{Actions: ['read:*']}}]}}]"
    )
    options = ("-c", "WebUI.Enabled=true", "-c", "WebUI.Listen=127.0.0.1:0", "-c", users)
    node = service_or_skip(lambda: start_node(tmp_path_factory.mktemp("page-node") / "repo", *options))
    address = re.search(r"the web page is at (http://127\.0\.0\.1:\d+)", node.output.read_text())
    assert address is not None, node.output.read_text()
    yield node, address[1]
    node.stop()


@pytest.fixture
def site(browser: Browser, place: tuple[ServedNode, str]) -> Iterator[Page]:
    """The page before the login; whatever the content policy forbids, or throws, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    context.set_default_navigation_timeout(LOAD_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None
    )
    page.goto(place[1])
    yield page
    context.close()
    assert not wrong


def log_in(page: Page, key: str) -> None:
    """Fill in the form."""
    page.get_by_label("API key or password").fill(key)
    page.get_by_role("button", name="Log in").click()


def test_a_wrong_key_is_refused_and_nothing_is_shown(site: Page) -> None:
    log_in(site, "wrong")
    expect(site.get_by_role("alert")).to_contain_text("not the API key")
    expect(site.get_by_role("grid")).to_have_count(0)


def test_a_job_is_seen_and_stopped_after_the_login_and_nothing_after_the_logout(
    site: Page, place: tuple[ServedNode, str], shot_dir: Path
) -> None:
    node, url = place
    log_in(site, node.key)
    expect(site.get_by_text("No jobs yet")).to_be_visible()
    with Client(node.url, data_dir=str(node.repo.path)) as client:
        job = client.submit(
            process("echo '<b>hello</b>'; echo x,y > outputs/t.csv; sleep 300", name="on-the-page")
        )
        row = site.get_by_role("row").filter(has_text="on-the-page")
        expect(row).to_contain_text("Running")
        row.hover()
        row.get_by_role("button", name="Logs").click()
        expect(site.get_by_role("log")).to_contain_text("<b>hello</b>")
        site.screenshot(path=str(shot_dir / "page-light.png"))
        site.emulate_media(color_scheme="dark")
        site.screenshot(path=str(shot_dir / "page-dark.png"))
        site.get_by_role("button", name="Stop").first.click()
        site.get_by_role("dialog").get_by_role("button", name="Stop").click()
        expect(site.locator(".jp-Bacalhau-details .jp-Bacalhau-badge").first).to_contain_text("Stopped")
        assert job.state.is_terminal
    site.get_by_role("tab", name="Nodes").click()
    expect(site.get_by_text(re.compile(r"n-[0-9a-f]{8}")).first).to_be_visible()
    site.get_by_role("tab", name="Cluster").click()
    expect(site.get_by_text(url)).to_be_visible()
    expect(site.get_by_role("heading", name="Connections")).to_have_count(0)
    site.get_by_role("button", name="Log out").click()
    expect(site.get_by_label("API key or password")).to_be_visible()
    assert site.request.get(f"{url}/api/v1/orchestrator/jobs").status == 401


def test_a_user_sees_what_he_may_and_reads_what_he_lacks(site: Page, place: tuple[ServedNode, str]) -> None:
    node, _ = place
    site.get_by_label("User name").fill("ron")
    log_in(site, PASSWORD)
    with Client(node.url, data_dir=str(node.repo.path)) as client:
        job = client.submit(process("sleep 300", name="not-rons"))
        row = site.get_by_role("row").filter(has_text="not-rons")
        expect(row).to_contain_text("Running")
        row.click()
        site.locator(".jp-Bacalhau-details").get_by_role("button", name="Stop").click()
        site.get_by_role("dialog").get_by_role("button", name="Stop").click()
        sentence = "user 'ron' does not have the required capability 'write:job'"
        expect(site.get_by_text(sentence).first).to_be_visible()
        assert not job.state.is_terminal
        job.stop()


def test_a_result_is_looked_into_without_jupyter(site: Page, place: tuple[ServedNode, str]) -> None:
    node, _ = place
    log_in(site, node.key)
    with Client(node.url, data_dir=str(node.repo.path)) as client:
        client.submit(process("printf 'a,b\\n1,<i>2</i>\\n' > outputs/t.csv", name="with-a-result")).wait()
    row = site.get_by_role("row").filter(has_text="with-a-result")
    expect(row).to_contain_text("Completed")
    row.click()
    site.get_by_role("tab", name="Results").click()
    site.get_by_role("treeitem", name=re.compile("t.csv")).click()
    expect(site.get_by_role("cell", name="<i>2</i>")).to_be_visible()
    site.get_by_role("button", name="Close").click()
    with site.expect_download() as download:
        site.get_by_role("link", name="Download all").click()
    assert tarfile.is_tarfile(download.value.path())

"""Fixtures for tests in a real browser: `lab` (JupyterLab), `lab_node` (its node), `page` (a logged-in page).

`BACALHAU_JUPYTER_SCREENSHOTS` names a directory for screenshots; a test takes one with `shot(name)`, and each test that
fails leaves one.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.lab import TOKEN, LabServer, start_lab
from tests.labextension.support import packaging
from tests.services.chromium import chromium
from tests.services.common import ServiceUnavailableError
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 60_000
LOAD_MS = 60_000
FOCUS_MS = 60_000
BROWSER_TIMEOUT_S = 240

Shot = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory time for the first start of everything."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(BROWSER_TIMEOUT_S))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember whether the test failed, for the screenshot."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[FAILED] = report.failed


FAILED = pytest.StashKey[bool]()


def built_labextension() -> None:
    """Build the labextension when it is missing or old, and show it to this environment.

    Raises
    ------
    ServiceUnavailableError
        It can't be built here.
    """
    bundle = packaging("bundle")
    try:
        bundle.build()
    except bundle.BundleError as error:
        raise ServiceUnavailableError(f"the labextension can't be built: {error}") from error
    bundle.link()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of this directory.

    Not for the whole session: while Playwright runs, its event loop runs in this thread, and no async test can.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    path = service_or_skip(chromium)
    # A machine that does other things at the same time gets more than the usual five seconds.
    playwright.expect.set_options(timeout=WAIT_MS)
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def lab_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """A node process; `lab` is connected to it."""
    directory = tmp_path_factory.mktemp("browser-node") / "repo"
    started = service_or_skip(lambda: start_node(directory))
    yield started
    started.stop()


@pytest.fixture(scope="package")
def lab(lab_node: ServedNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab with both halves of the extension, under the base URL ``/user/x/``."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path_factory.mktemp("browser-lab"), repo=lab_node.repo.path)
    yield started
    started.stop()


@pytest.fixture(scope="package")
def client(lab_node: ServedNode) -> Iterator[Client]:
    """A client of `lab_node`."""
    with Client(lab_node.url, data_dir=str(lab_node.repo.path)) as connected:
        yield connected


@pytest.fixture
def submit(client: Client) -> Iterator[Callable[[JobModel], Job]]:
    """Submit jobs; those that still run at the end of the test are stopped."""
    submitted: list[Job] = []

    def start(model: JobModel) -> Job:
        submitted.append(client.submit(model))
        return submitted[-1]

    yield start
    for job in submitted:
        # A test may have deleted it.
        with contextlib.suppress(NotFound):
            if not job.state.is_terminal:
                job.stop()


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page of its own on JupyterLab, loaded and logged in. Errors in its console fail the test."""
    yield from lab_page(browser, lab, request, shot_dir)


@pytest.fixture
def shot(page: Page, shot_dir: Path) -> Shot:
    """Take a screenshot under a name."""
    return lambda name: _picture(page, shot_dir, name)


@pytest.fixture
def shot_dir(tmp_path: Path) -> Path:
    """Where screenshots go."""
    directory = Path(os.environ.get("BACALHAU_JUPYTER_SCREENSHOTS") or tmp_path / "screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def lab_page(
    browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path, path: str = "lab"
) -> Iterator[Page]:
    """Open a page in a workspace of its own; for fixtures that need a server of their own."""
    if path.split("/")[0] == "lab" and not path.startswith("lab/workspaces/"):
        # Lab restores what the last test left open, at a moment of its own choosing.
        path = f"lab/workspaces/{uuid4().hex}{path[len('lab') :]}"
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_MS)
    context.set_default_navigation_timeout(LOAD_MS)
    page = context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    _load(page, lab, path)
    failed = True
    try:
        yield page
        failed = request.node.stash.get(FAILED, False)
    finally:
        if failed and not page.is_closed():
            _picture(page, shot_dir, f"failed-{request.node.name}")
        context.close()
    assert not [text for text in thrown if "bacalhau" in text.lower()], thrown


def _load(page: Page, lab: LabServer, path: str) -> None:
    """Load a page of Lab or Notebook 7, until it can be used.

    A page that does not come up is loaded once more, as a person would, and the summary of the run says so: nobody
    has found yet why this happened in one run of thousands of pages.

    Raises
    ------
    AssertionError
        It did not come up; what the page, its requests and the server said is in the text.
    """
    try:
        _load_once(page, lab, path)
    except AssertionError as error:
        warnings.warn(f"loaded again: {error}", UserWarning, stacklevel=2)
        _load_once(page, lab, path)


def _load_once(page: Page, lab: LabServer, path: str) -> None:
    from playwright.sync_api import Error as PlaywrightError

    events: list[str] = []
    pending: set[str] = set()
    page.on("console", lambda message: events.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"thrown: {error}"))
    page.on("request", lambda request: pending.add(request.url))
    page.on("requestfinished", lambda request: pending.discard(request.url))
    page.on("requestfailed", lambda request: events.append(f"failed: {request.url} ({request.failure})"))
    page.on(
        "response",
        lambda answer: events.append(f"{answer.status}: {answer.url}") if answer.status > 399 else None,
    )
    ready = _ready(path)
    unstyled = page.locator(".jp-Dialog").filter(has_text="Error Loading Theme")

    def go_on_without_theme() -> None:
        # Seen once in thousands of pages: Lab's style sheet does not arrive, and a dialog covers the page.
        report = "\n".join(("loaded again: the page has no theme", *events[-40:]))
        warnings.warn(report.replace(TOKEN, "TOKEN"), UserWarning, stacklevel=3)
        unstyled.get_by_role("button", name="OK").click()

    page.add_locator_handler(unstyled, go_on_without_theme)
    try:
        page.goto(lab.page(path), timeout=LOAD_MS)
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=LOAD_MS)
        page.wait_for_selector(f"{ready}, .jp-Dialog", timeout=LOAD_MS)
        # The dialog takes the focus that says that the page is ready; a handler is called when something is clicked.
        while unstyled.count():
            page.locator("body").click(trial=True)
            page.wait_for_selector(f"{ready}, .jp-Dialog", timeout=LOAD_MS)
        if path.startswith("notebooks/"):
            _await_focus(page)
    except PlaywrightError as error:
        unanswered = (f"without an answer: {url}" for url in sorted(pending))
        report = "\n".join((f"{page.url} did not come up: {error}", *events[-40:], *unanswered, lab.tail()))
        raise AssertionError(report.replace(TOKEN, "TOKEN")) from error


def _ready(path: str) -> str:
    """Return the selector of what a page shows once it can be used."""
    if path.startswith("lab/"):
        # Lab opens its launcher last of all, and takes the focus there: a tab is current before, active only then.
        return "#jp-main-dock-panel .lm-TabBar-tab.jp-mod-active"
    if path.startswith("notebooks/"):
        return ".jp-Notebook-cell"
    return ".jp-LabShell, .jp-NotebookShell, #main"


def _await_focus(page: Page) -> None:
    """Wait until Notebook 7 has taken the focus.

    It takes it twice, for its cell only once that is drawn: whatever has the focus by then loses it, with what is typed
    at that moment. A dialog (which kernel?) keeps it. Where it does not come, the summary of the run says who has it.
    """
    from playwright.sync_api import Error as PlaywrightError

    try:
        page.wait_for_selector(
            ".jp-Notebook-cell:focus, .jp-Notebook-cell :focus, .jp-Dialog", timeout=FOCUS_MS
        )
    except PlaywrightError:
        holder = page.evaluate("[document.hasFocus(), document.activeElement?.outerHTML.slice(0, 300)]")
        warnings.warn(f"loaded again: no cell took the focus, {holder} has it", UserWarning, stacklevel=4)


def _picture(page: Page, directory: Path, name: str) -> None:
    page.screenshot(path=str(directory / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}.png"))

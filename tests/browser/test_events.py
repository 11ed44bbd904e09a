"""Events in the panel: their cost, and that none is lost or shown twice after a failure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.browser.panel import open_panel, put_setting, row
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Route, WebSocket, WebSocketRoute

Submit = Callable[[JobModel], Job]
SETTINGS = "bacalhau-jupyter:plugin"
EVENTS = re.compile(r"/bacalhau/api/v1/orchestrator/events")
SIDE_BAR = "[data-id=bacalhau-panel]"
HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
  Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => hidden ? 'hidden' : 'visible'});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


class Traffic:
    """What a page asks of our half of the server."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.requests: list[str] = []
        self.sockets: list[WebSocket] = []
        self.frames = 0
        page.on("request", self._request)
        page.on("websocket", self._socket)

    @property
    def open(self) -> int:
        """How many event streams are open."""
        return sum(not socket.is_closed() for socket in self.sockets)

    def await_stream(self) -> None:
        """Wait until one event stream is open; the list may be there before we hear of it."""

        def is_one_open() -> bool:
            self._page.wait_for_timeout(50)
            return self.open == 1

        assert wait_until(is_one_open, timeout_s=60)

    def _request(self, request: Request) -> None:
        path = urlsplit(request.url).path
        if "/user/x/bacalhau/" in path:
            self.requests.append(f"{request.method} {path}")

    def _socket(self, socket: WebSocket) -> None:
        if "/bacalhau/" in socket.url:
            self.sockets.append(socket)
            socket.on("framereceived", self._frame)

    def _frame(self, _: object) -> None:
        self.frames += 1


@pytest.fixture
def new_page(
    browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Callable[..., Any]:
    """Open a page, with a layout of its own, after the test has prepared the server; a context manager."""
    place = f"lab/workspaces/{request.node.name.replace('_', '-')}"
    return lambda: contextmanager(lab_page)(browser, lab, request, shot_dir, place)


@pytest.fixture
def nothing_wanted(lab: LabServer) -> Iterator[None]:
    """Neither notifications nor the item in the status bar."""
    put_setting(lab, SETTINGS, {"notifyWhenDone": False, "showInStatusBar": False})
    yield
    put_setting(lab, SETTINGS, {})


def test_a_hidden_panel_costs_nothing(
    new_page: Callable[..., Any], nothing_wanted: None, submit: Submit
) -> None:
    with new_page() as page:
        traffic = Traffic(page)
        page.reload()
        page.wait_for_selector(SIDE_BAR)
        expect(page.locator(".jp-Bacalhau-status")).to_have_count(0)
        submit(process("echo unseen", name="unseen")).wait()
        page.wait_for_load_state("networkidle")
        assert traffic.requests == []
        assert traffic.sockets == []

        panel = page.locator("#bacalhau-panel")
        page.locator(SIDE_BAR).click()
        expect(row(panel, "unseen")).to_contain_text("Completed")

        traffic.await_stream()
        with traffic.sockets[-1].expect_event("close"):
            page.locator(SIDE_BAR).click()
        asked, frames = list(traffic.requests), traffic.frames
        submit(process("echo unseen", name="unseen-too")).wait()
        page.wait_for_load_state("networkidle")
        assert traffic.requests == asked
        assert traffic.frames == frames

        page.locator(SIDE_BAR).click()
        expect(row(panel, "unseen-too")).to_contain_text("Completed")
        with traffic.sockets[-1].expect_event("close"):
            page.evaluate(HIDE, True)  # another browser tab is in front


def test_status_bar_and_notifications_share_one_stream_and_poll_nothing(page: Page, submit: Submit) -> None:
    traffic = Traffic(page)
    page.reload()
    status = page.locator(".jp-Bacalhau-status")
    expect(status).to_be_visible(timeout=60_000)
    # A page that is slow is idle before it has asked all that it asks at first.
    traffic.await_stream()
    page.wait_for_load_state("networkidle")
    asked = len(traffic.requests)
    job = submit(process("sleep 300", name="pushed"))
    expect(status).to_have_accessible_name(re.compile("1 running"))
    job.stop()
    expect(status).to_have_accessible_name(re.compile("0 running, 0 waiting"))
    assert [socket.url for socket in traffic.sockets if not socket.is_closed()][1:] == []
    # The job was new to the page: it is read once, and again for each change until the page has it (it was queued,
    # then it ran); the rest came by itself.
    new = traffic.requests[asked:]
    assert [line for line in new if not line.endswith(job.id)] == []
    assert len(new) <= 4


def test_after_a_cut_the_panel_catches_up_without_loss_or_duplicates(page: Page, submit: Submit) -> None:
    routes: list[WebSocketRoute] = []
    down = False

    def take(route: WebSocketRoute) -> None:
        if down:
            route.close(code=4000)
            return
        routes.append(route)
        route.connect_to_server()

    page.route_web_socket(EVENTS, take)
    page.reload()
    panel = open_panel(page)
    first = submit(process("sleep 300", name="cut-before"))
    expect(row(panel, "cut-before")).to_contain_text("Running")
    down = True
    routes[-1].close(code=4000)
    first.stop()
    missed = [submit(process("true", name=f"cut-{number}")) for number in range(12)]
    for job in missed:
        job.wait()
    assert row(panel, "cut-").count() == 1
    down = False
    panel.get_by_role("searchbox").fill("cut-")
    expect(panel.get_by_role("row")).to_have_count(13, timeout=60_000)
    expect(panel.get_by_role("row").filter(has_text="Completed")).to_have_count(12)
    expect(row(panel, "cut-before")).to_contain_text("Stopped")
    since = parse_qs(urlsplit(routes[-1].url).query).get("since")
    assert since is not None
    assert int(since[0]) > 0
    last = submit(process("true", name="cut-after"))
    last.wait()
    expect(panel.get_by_role("row")).to_have_count(14)


def test_a_notification_appears_for_a_job_that_ends_elsewhere(page: Page, submit: Submit) -> None:
    status = page.locator(".jp-Bacalhau-status")
    job = submit(process("sleep 300", name="ends-elsewhere"))
    expect(status).to_have_accessible_name(re.compile("1 running"))
    page.evaluate(HIDE, True)
    job.stop()
    toast = page.locator(".Toastify__toast")
    expect(toast).to_contain_text("ends-elsewhere")
    expect(toast).to_contain_text("Stopped")
    page.evaluate(HIDE, False)
    toast.get_by_role("button", name="Show").click()
    expect(page.get_by_role("region", name="Job ends-elsewhere")).to_be_visible()


def test_no_notification_when_they_are_switched_off(
    new_page: Callable[..., Any], nothing_wanted: None, submit: Submit
) -> None:
    with new_page() as page:
        page.locator(SIDE_BAR).click()
        panel = page.locator("#bacalhau-panel")
        job = submit(process("sleep 300", name="ends-quietly"))
        expect(row(panel, "ends-quietly")).to_contain_text("Running")
        page.evaluate(HIDE, True)
        job.stop()
        page.evaluate(HIDE, False)
        expect(row(panel, "ends-quietly")).to_contain_text("Stopped")
        assert page.locator(".Toastify__toast").count() == 0


def test_an_expired_login_is_a_sentence_and_a_way_out(page: Page) -> None:
    page.route(
        "**/bacalhau/status*", lambda route: route.fulfill(status=403, body='{"message": "Forbidden"}')
    )
    page.get_by_role("button", name=re.compile("Bacalhau: .* running")).click()
    panel = page.locator("#bacalhau-panel")
    panel.get_by_role("button", name="Read the list again").click()
    note = panel.get_by_role("alert").first
    expect(note).to_contain_text("Jupyter does not let this user see Bacalhau")
    expect(note.get_by_role("button", name="Reload the page")).to_be_visible()
    page.unroute_all()
    note.get_by_role("button", name="Try again").click()
    expect(note).to_have_count(0)


def test_an_older_server_half_is_named_with_both_versions(page: Page) -> None:
    def older(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "version": "0.0.1"})

    page.route("**/bacalhau/status*", older)
    page.reload()
    panel = open_panel(page)
    expect(panel.get_by_role("alert")).to_contain_text("the Jupyter server runs 0.0.1")
    expect(panel.get_by_role("button", name="Reload the page")).to_be_visible()


def test_a_job_that_was_removed_is_shown_as_removed(page: Page, submit: Submit) -> None:
    job = submit(process("true", name="removed"))
    job.wait()
    panel = open_panel(page)
    expect(row(panel, "removed")).to_contain_text("Completed")
    gone = json.dumps({"Status": 404, "Message": f"job not found: {job.id}", "Code": "NotFound"})
    page.route(f"**/jobs/{job.id}**", lambda route: route.fulfill(status=404, body=gone))
    row(panel, "removed").click()
    expect(panel.get_by_role("alert")).to_contain_text("job not found")
    panel.get_by_role("button", name="Back to the list").click()
    expect(row(panel, "removed")).to_have_count(0)


def test_a_stop_that_is_refused_says_why(page: Page, submit: Submit) -> None:
    job = submit(process("sleep 300", name="not-yours"))
    refused = json.dumps({"Status": 403, "Message": "only its owner may stop this job", "Code": "Forbidden"})

    def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=403, body=refused)
        else:
            route.continue_()

    page.route(f"**/jobs/{job.id}**", refuse)
    panel = open_panel(page)
    row(panel, "not-yours").hover()
    row(panel, "not-yours").get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog").filter(has_text="could not be stopped")
    expect(dialog).to_contain_text("only its owner may stop this job")

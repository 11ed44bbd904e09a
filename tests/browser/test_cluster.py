"""The Cluster tab in a real browser: versions, connections to a second real node, and disks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.config.profiles import ProfileStore
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from tests.browser.conftest import Shot
from tests.browser.lab import TOKEN, LabServer
from tests.services.common import wait_until
from tests.services.devstack import LIMIT_S, start_devstack
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import command, open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

Submit = Callable[[JobModel], Job]
REFUSED = "does not accept"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """Another node, which asks everybody for its key."""
    directory = tmp_path_factory.mktemp("second-node") / "repo"
    started = service_or_skip(lambda: start_node(directory, "-c", "API.TrustLocalUser=false"))
    yield started
    started.stop()


@pytest.fixture
def stack_url(tmp_path: Path) -> Iterator[str]:
    """One orchestrator and three compute nodes, with an engine that only waits."""
    directory = tmp_path / "stack"
    directory.mkdir()
    stack = start_devstack(directory, "--computes", "3")
    variables = stack.until_ready()
    yield f"http://{variables['BACALHAU_API_HOST']}:{variables['BACALHAU_API_PORT']}"
    stack.kill()


@pytest.fixture(autouse=True)
def _back_home(lab: LabServer, lab_node: ServedNode) -> Iterator[None]:
    """Other tests expect their own node."""
    yield
    request = Request(
        f"{lab.url}bacalhau/connections/current",
        data=b'{"name": ""}',
        method="PUT",
        headers={"Authorization": f"token {TOKEN}"},
    )
    with urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    store = ProfileStore(lab_node.repo.profiles_dir)
    for name in store.names():
        store.delete(name)


def connection(panel: Locator, name: str) -> Locator:
    """Return the line of a connection."""
    return panel.get_by_role("list", name="Saved connections").get_by_role("listitem", name=name, exact=True)


def fill(panel: Locator, name: str, address: str, token: str) -> Locator:
    """Open the form of a new connection, fill it in and return it."""
    panel.get_by_role("button", name="Add a connection").click()
    form = panel.get_by_role("form", name="Add a connection")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Address").fill(address)
    form.get_by_label("Token").fill(token)
    return form


def test_a_second_node_is_added_tried_and_switched_to_and_back(
    page: Page, second: ServedNode, submit: Submit, shot: Shot
) -> None:
    submit(process("true", name="job-of-the-first")).wait()
    with Client(second.url, api_key=second.key, data_dir=str(second.repo.path)) as there:
        there.submit(process("true", name="job-of-the-second")).wait()
    panel = open_tab(page, "Jobs")
    expect(panel.get_by_role("row").filter(has_text="job-of-the-first")).to_be_visible()
    open_tab(page, "Cluster")
    expect(connection(panel, "This machine")).to_contain_text("in use")
    form = fill(panel, "second", second.url, "not-the-key")
    expect(form.get_by_label("Token")).to_have_attribute("type", "password")
    form.get_by_role("button", name="Test").click()
    expect(form.get_by_role("status")).to_contain_text(REFUSED)
    shot("connection-refused")
    form.get_by_label("Token").fill(second.key)
    form.get_by_role("button", name="Test").click()
    expect(form.get_by_role("status")).to_contain_text("It works: Bacalhau")
    shot("connection-works")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    connection(panel, "second").get_by_role("button", name="Use second").click()
    expect(connection(panel, "second")).to_contain_text("in use")
    facts = panel.get_by_role("region", name="Connected cluster")
    expect(facts).to_contain_text(second.url)
    expect(facts).to_contain_text("the saved connection “second”")
    assert second.key not in page.content()
    shot("cluster")
    open_tab(page, "Jobs")
    row = panel.get_by_role("row").filter(has_text="job-of-the-second")
    expect(row).to_be_visible()
    expect(panel.get_by_role("row").filter(has_text="job-of-the-first")).to_have_count(0)
    # The stream is the second node's, too.
    with Client(second.url, api_key=second.key, data_dir=str(second.repo.path)) as there:
        running = there.submit(process("sleep 300", name="pushed-by-the-second"))
        expect(panel.get_by_role("row").filter(has_text="pushed-by-the-second")).to_contain_text("Running")
        running.stop()
    command(page, "Switch to another cluster…")
    page.get_by_role("dialog").get_by_role("combobox").select_option("This machine")
    page.get_by_role("dialog").get_by_role("button", name="OK").click()
    expect(panel.get_by_role("row").filter(has_text="job-of-the-first")).to_be_visible()
    expect(panel.get_by_role("row").filter(has_text="job-of-the-second")).to_have_count(0)


def test_the_nodes_of_a_devstack_are_shown_and_a_rejected_one_loses_its_execution(
    page: Page, stack_url: str, shot: Shot
) -> None:
    task = Task(name="main", engine=SpecConfig(type="noop", params={"Sleep": 3600}))
    panel = open_tab(page, "Cluster")
    form = fill(panel, "stack", stack_url, "")
    form.get_by_role("button", name="Save").click()
    connection(panel, "stack").get_by_role("button", name="Use stack").click()
    expect(connection(panel, "stack")).to_contain_text("in use")
    with Client(stack_url) as there:
        job = there.submit(JobModel(type="daemon", tasks=[task]))

        def running() -> set[str]:
            return {each.node_id for each in job.executions() if not each.is_terminal}

        assert wait_until(lambda: len(running()) == 3, timeout_s=LIMIT_S)
        open_tab(page, "Nodes")
        nodes = panel.get_by_role("list", name="Nodes").locator("> li")
        expect(nodes).to_have_count(4)
        first = nodes.filter(has=page.get_by_role("button", name="Reject…")).first
        shot("nodes-devstack")
        first.get_by_role("button", name="Reject…").click()
        page.get_by_role("dialog").get_by_role("button", name="Reject").click()
        expect(nodes.filter(has=page.get_by_role("button", name="Approve…"))).to_have_count(1)
        assert wait_until(lambda: len(running()) == 2, timeout_s=LIMIT_S)
        job.stop()


def test_a_token_that_the_cluster_refuses_is_reported_with_a_hint(
    page: Page, second: ServedNode, shot: Shot
) -> None:
    panel = open_tab(page, "Cluster")
    fill(panel, "refused", second.url, "not-the-key").get_by_role("button", name="Save").click()
    connection(panel, "refused").get_by_role("button", name="Use refused").click()
    note = panel.get_by_role("alert")
    expect(note).to_contain_text("does not accept the saved token")
    expect(note).to_contain_text("save another API key or token")
    shot("token-refused")
    connection(panel, "refused").get_by_role("button", name="Edit refused").click()
    form = panel.get_by_role("form", name="Edit the connection refused")
    expect(form.get_by_label("Token")).to_have_value("")
    form.get_by_label("Token").fill(second.key)
    form.get_by_role("button", name="Save").click()
    expect(panel.get_by_role("alert")).to_have_count(0)
    # The one in use can't be removed: no button for it.
    expect(connection(panel, "refused").get_by_role("button", name="Remove refused")).to_have_count(0)
    connection(panel, "This machine").get_by_role("button", name="Use This machine").click()
    connection(panel, "refused").get_by_role("button", name="Remove refused").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(connection(panel, "refused")).to_have_count(0)


def test_a_cluster_that_does_not_answer_is_reported_and_can_be_changed(page: Page) -> None:
    panel = open_tab(page, "Cluster")
    form = fill(panel, "nowhere", "http://127.0.0.1:9", "")
    form.get_by_role("button", name="Test").click()
    expect(form.get_by_role("status")).to_contain_text("It can’t be used")
    form.get_by_role("button", name="Save").click()
    connection(panel, "nowhere").get_by_role("button", name="Use nowhere").click()
    expect(panel.get_by_role("alert")).to_contain_text("Connected to http://127.0.0.1:9")
    expect(panel.get_by_role("tab", name="Data")).to_have_count(1)
    connection(panel, "This machine").get_by_role("button", name="Use This machine").click()
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(connection(panel, "This machine")).to_contain_text("in use")


def test_a_choice_made_in_the_environment_is_said_and_no_switch_offered(page: Page) -> None:
    def fixed(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"fixed_by": "BACALHAU_API_HOST"})

    page.route(re.compile(r"/bacalhau/connections(\?|$)"), fixed)
    panel = open_tab(page, "Cluster")
    expect(panel.get_by_role("note")).to_contain_text("The cluster is chosen by BACALHAU_API_HOST")
    expect(panel.get_by_role("button", name=re.compile("^Use "))).to_have_count(0)


def test_versions_are_shown_and_a_node_of_another_one_is_explained(page: Page) -> None:
    def older(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"JupyterVersion": "0.0.1"})

    panel = open_tab(page, "Cluster")
    facts = panel.get_by_role("region", name="Connected cluster")
    expect(facts).to_contain_text(f"bacalhau-jupyter {__version__}")
    expect(facts.get_by_text("The node was started by")).to_have_count(0)
    open_tab(page, "Jobs")
    page.route(re.compile(r"/bacalhau/api/v1/agent/node(\?|$)"), older)
    open_tab(page, "Cluster")
    expect(facts).to_contain_text("The node was started by bacalhau-jupyter 0.0.1")


def test_results_are_cleaned_up_after_a_question_and_the_figure_falls(
    page: Page, submit: Submit, shot: Shot
) -> None:
    job = submit(process("head -c 3000000 /dev/urandom > outputs/big", name="keeps-much"))
    job.wait()
    panel = open_tab(page, "Cluster")
    disk = panel.get_by_role("region", name="Disk")
    kept = disk.get_by_role("meter", name="Results")
    expect(kept).to_have_attribute("aria-valuetext", re.compile(r"MB, \d+ results? of 50 GB"))
    before = float(kept.get_attribute("aria-valuenow") or 0)
    assert before >= 3_000_000
    disk.get_by_role("combobox").select_option("older than a day")
    disk.get_by_role("button", name="Clean up results…").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("results of finished jobs, older than a day")
    shot("clean-up")
    question.get_by_role("button", name="Remove").click()
    expect(disk.get_by_role("status")).to_contain_text("Removed: 0 B, 0 results")
    disk.get_by_role("combobox").select_option("of any age")
    disk.get_by_role("button", name="Clean up results…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(disk.get_by_role("status")).to_contain_text(re.compile(r"Removed: [\d.]+ MB, \d+ result"))
    expect(kept).to_have_attribute("aria-valuenow", "0")
    disk.get_by_role("button", name="Empty the input cache…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(disk.get_by_role("status")).to_contain_text("input")


def test_the_tabs_are_walked_with_the_keyboard_and_look_right_in_the_dark(page: Page, shot: Shot) -> None:
    # JupyterLab itself focuses the launcher once it is there.
    expect(page.locator(".jp-Launcher")).to_be_visible()
    page.keyboard.press("Control+Alt+b")
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("tab", name="Jobs")).to_be_focused()
    expect(panel.get_by_role("tab", name="Data")).to_be_visible()
    for name, seen in [
        ("Nodes", "Connected"),
        ("Data", "A job can have your own files:"),
        ("Cluster", "Connections"),
    ]:
        page.keyboard.press("ArrowRight")
        expect(panel.get_by_role("tab", name=name)).to_be_focused()
        expect(panel.get_by_role("tabpanel")).to_contain_text(seen)
    expect(panel.get_by_role("button", name="Add a connection")).to_be_visible()
    page.keyboard.press("Tab")
    expect(panel.get_by_role("button", name="Add a connection")).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel.get_by_role("form")).to_have_count(0)
    expect(panel.get_by_role("button", name="Add a connection")).to_be_focused()
    command(page, "Use Theme: JupyterLab Dark")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    shot("cluster-dark")
    open_tab(page, "Nodes")
    expect(panel.get_by_role("meter", name="CPU")).to_be_visible()
    shot("nodes-dark")
    # Colours come from the theme: light text on dark ground.
    ground, text = panel.evaluate(
        "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
        ".map(colour => colour.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
    )
    assert ground < 200 < text
    command(page, "Use Theme: JupyterLab Light")


def test_a_cluster_is_opened_and_closed_after_a_question_and_no_page_holds_the_token(
    page: Page, lab_node: ServedNode, shot: Shot
) -> None:
    panel = open_tab(page, "Cluster")
    others = panel.get_by_role("region", name="Other nodes")
    expect(others).to_contain_text("the cluster is closed")
    others.get_by_role("button", name="Open the cluster…").click()
    page.get_by_role("dialog").get_by_role("button", name="Open", exact=True).click()
    expect(others).to_contain_text("join at nats://127.0.0.1:", timeout=60_000)
    expect(others).to_contain_text(str(lab_node.repo.cluster_token_file))
    assert lab_node.repo.cluster_token_file.read_text().strip() not in page.content()
    shot("cluster-open")
    others.get_by_role("button", name="Close the cluster…").click()
    page.get_by_role("dialog").get_by_role("button", name="Close", exact=True).click()
    expect(others).to_contain_text("the cluster is closed", timeout=60_000)

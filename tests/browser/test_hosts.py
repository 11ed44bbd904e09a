"""Docker hosts in the panel, in a real browser: a real second machine is added, used, cut off and removed."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import docker
from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import TOKEN, LabServer, start_lab
from tests.engines.docker.carrying.conftest import add_layer
from tests.services import docker_engine as engines
from tests.services import images
from tests.services.common import wait_until
from tests.services.far_host import FarHost
from tests.services.far_users import Way
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.looks import DARK, LIGHT, Looks, narrow
from tests.browser.panel import row
from tests.browser.tabs import command, open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.timeout(500)

AWAY_MS = 60_000
"""Until a cut is noticed: ssh asks every five seconds, and gives up at the third silence."""
OWN_SSH = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
"""ssh takes its configuration from the home that the password database names, whatever the environment says."""


COPYING = re.compile(r"on gpu1 \(copying image [\d.]+( k?B| MB)?/6\d MB(, [\d.]+ [kMG]B/s)?\)")
LISTEN = """() => {
  window.saidOfHosts = [];
  new MutationObserver(() => {
    for (const phase of document.querySelectorAll('#bacalhau-panel .jp-Bacalhau-phase')) {
      window.saidOfHosts.push(phase.textContent);
    }
  }).observe(document, {subtree: true, childList: true, characterData: true});
}"""
"""What the rows say of what goes on, however short it is to be seen."""


@pytest.fixture(scope="module")
def ssh_dir(far_machine: FarHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the node's user has below ``~/.ssh``: nobody has vouched for the key of gpu1 yet."""
    directory = tmp_path_factory.mktemp("ssh")
    nobody_known = directory / "nobody"
    nobody_known.touch()
    far_machine.users.config(directory / "config", gpu1=Way(known_hosts=nobody_known), bobs=Way(user="bob"))
    return directory


@pytest.fixture(scope="module")
def hosts_node(ssh_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """A node whose user has that configuration of ssh."""
    home = Path("/root")
    (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    mounts = ("unshare", "--mount", "--propagation", "private", "sh", "-c", OWN_SSH, "sh")
    prefix = (*mounts, str(ssh_dir), str(home / ".ssh"))
    directory = tmp_path_factory.mktemp("hosts-node") / "repo"
    started = service_or_skip(lambda: start_node(directory, prefix=prefix, env={"HOME": str(home)}))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def hosts_lab(hosts_node: ServedNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab connected to that node."""
    service_or_skip(built_labextension)
    started = start_lab(tmp_path_factory.mktemp("hosts-lab"), repo=hosts_node.repo.path)
    yield started
    started.stop()


@pytest.fixture
def page(
    browser: Browser, hosts_lab: LabServer, far_host: FarHost, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """A page on it, beside the second machine."""
    yield from lab_page(browser, hosts_lab, request, shot_dir)


@pytest.fixture
def client(hosts_node: ServedNode) -> Iterator[Client]:
    # The node has mounts of its own: who has others is a stranger to it.
    with Client(hosts_node.url, api_key=hosts_node.key, data_dir=str(hosts_node.repo.path)) as connected:
        yield connected


@pytest.fixture(autouse=True)
def _without_hosts(hosts_lab: LabServer) -> Iterator[None]:
    """The next test finds no host, whatever became of this one."""
    yield
    for host in _asked(hosts_lab, "GET", "hosts")["Items"]:
        _asked(hosts_lab, "POST", f"hosts/{host['Name']}/remove", {"Jobs": "leave"})


def _asked(lab: LabServer, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"{lab.url}bacalhau/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def open_form(panel: Locator) -> Locator:
    """Open the form and return it."""
    panel.get_by_role("button", name="Add host…").click()
    return panel.get_by_role("form", name="Add a Docker host")


def card_of(panel: Locator, name: str = "gpu1") -> Locator:
    """Return the card of a host."""
    return panel.get_by_role("list", name="Docker hosts").get_by_role("listitem", name=f"Host {name}")


def add(panel: Locator) -> Locator:
    """Add the second machine as gpu1, after its key was compared; return its card."""
    form = open_form(panel)
    form.get_by_role("combobox", name="Host").select_option("alias:gpu1")
    form.get_by_role("button", name="Add", exact=True).click()
    trust, card = form.get_by_role("button", name="Trust this key"), card_of(panel)
    expect(trust.or_(card)).to_be_visible()
    if trust.is_visible():
        trust.click()
    expect(card).to_contain_text("Ready")
    return card


def remove(card: Locator, page: Page) -> None:
    """Remove a host that has no jobs."""
    card.get_by_role("button", name="Remove gpu1…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)


def test_a_host_is_added_with_the_key_that_was_compared_and_runs_jobs_until_it_goes(
    page: Page, far_host: FarHost, client: Client, shot: Shot
) -> None:
    panel = open_tab(page, "Nodes")
    form = open_form(panel)
    form.get_by_role("combobox", name="Host").select_option("alias:gpu1")
    form.get_by_role("button", name="Test").click()
    steps = form.get_by_role("list", name="Steps of the test").get_by_role("listitem")
    expect(steps.filter(has=page.get_by_role("img", name="does not work"))).to_have_count(1)
    expect(form.get_by_role("group", name="Unknown key")).to_contain_text(far_host.users.fingerprint)
    shot("hosts-unknown-key")
    form.get_by_role("button", name="Trust this key").click()
    card = card_of(panel)
    expect(card).to_contain_text("Ready")
    expect(form).to_have_count(0)
    for name in ("CPU", "Memory", "Disk"):
        expect(card.get_by_role("meter", name=name)).to_be_visible()
    card.get_by_text("Address, engine and more").click()
    expect(card).to_contain_text(far_host.name)
    # The node of the host is not shown once more.
    expect(panel.get_by_role("list", name="Nodes").get_by_role("listitem", name="Node gpu1")).to_have_count(0)
    job = client.submit(
        docker(far_host.busybox_image(), ["sleep", "600"], host="gpu1", cpu="0.5", name="sleeper")
    )
    expect(card).to_contain_text("1 job")
    expect(card.get_by_role("meter", name="CPU")).to_have_attribute("aria-valuenow", "0.5")
    shot("hosts-ready")
    far_host.cut()
    expect(card).to_contain_text("Unreachable", timeout=AWAY_MS)
    expect(card).to_contain_text("does not answer")
    expect(card.get_by_role("meter")).to_have_count(0)
    shot("hosts-unreachable")
    open_tab(page, "Jobs")
    expect(row(panel, "sleeper")).to_contain_text("gpu1 does not answer since")
    shot("hosts-job-away")
    open_tab(page, "Nodes")
    far_host.heal()
    card.get_by_role("button", name="Try the way to gpu1 now").click()
    expect(card).to_contain_text("Ready", timeout=AWAY_MS)
    # Its jobs have gone on.
    expect(card).to_contain_text("1 job")
    card.get_by_role("button", name=re.compile("^Pause gpu1")).click()
    expect(card).to_contain_text("Paused")
    card.get_by_role("button", name="Resume gpu1").click()
    expect(card).to_contain_text("Ready")
    card.get_by_role("button", name="Remove gpu1…").click()
    question = card.get_by_role("group", name="1 job is on gpu1. What becomes of it?")
    shot("hosts-remove")
    question.press("Escape")
    expect(card.get_by_role("button", name="Remove gpu1…")).to_be_focused()
    card.get_by_role("button", name="Remove gpu1…").click()
    question.get_by_role("button", name="Cancel it").click()
    expect(card).to_have_count(0)
    job.wait()


def test_a_host_over_tls_is_added_and_its_jobs_are_left_or_waited_for(
    page: Page, far_host: FarHost, client: Client, tmp_path: Path
) -> None:
    panel, card = open_tab(page, "Nodes"), card_of(open_tab(page, "Nodes"))
    files = far_host.certificates(tmp_path)
    for answer in ("Leave it there", "Wait for it"):
        form = open_form(panel)
        form.get_by_role("textbox", name="Address").fill(far_host.tls_url)
        form.get_by_role("textbox", name="Name").fill("gpu1")
        form.get_by_label("Certificates").fill(str(files))
        form.get_by_role("button", name="Add", exact=True).click()
        expect(card).to_contain_text("Ready", timeout=AWAY_MS)
        image = far_host.busybox_image()
        job = client.submit(docker(image, ["sleep", "600"], host="gpu1", cpu="0.1", name=answer[:5].strip()))
        assert wait_until(lambda: bool(far_host.shell("docker ps -q").split()), timeout_s=60)
        expect(card).to_contain_text("1 job", timeout=AWAY_MS)
        card.get_by_role("button", name="Remove gpu1…").click()
        question = card.get_by_role("group", name="1 job is on gpu1. What becomes of it?")
        question.get_by_role("button", name=answer).click()
        if answer == "Wait for it":
            expect(card).to_contain_text("Being removed")
        else:
            expect(card).to_have_count(0)
            assert far_host.shell("docker ps -q").split()
        job.stop()
        expect(card).to_have_count(0, timeout=AWAY_MS)
        far_host.shell("docker ps -q | xargs -r docker rm -f")


def test_a_trial_says_step_by_step_what_is_missing_and_nothing_is_kept(page: Page, shot: Shot) -> None:
    panel = open_tab(page, "Nodes")
    form = open_form(panel)
    form.get_by_role("combobox", name="Host").select_option("alias:bobs")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form).to_contain_text("It was not added")
    steps = form.get_by_role("list", name="Steps of the test").get_by_role("listitem")
    expect(steps.filter(has=page.get_by_role("img", name="does not work"))).to_contain_text("usermod")
    expect(form.get_by_role("button", name="Trust this key")).to_have_count(0)
    shot("hosts-no-rights")
    form.get_by_role("combobox", name="Host").select_option("")
    expect(steps).to_have_count(0)
    form.get_by_role("textbox", name="Address").fill("tcp://192.0.2.1:2375; rm -rf /")
    form.get_by_label("Labels").fill("no label")
    form.get_by_role("button", name="Test").click()
    expect(form.get_by_role("alert")).to_contain_text("“no” is no label")
    form.get_by_label("Labels").fill("room=basement")
    form.get_by_role("button", name="Test").click()
    expect(form.get_by_role("alert").or_(steps.first).first).to_be_visible()
    form.get_by_role("textbox", name="Labels").press("Escape")
    expect(panel.get_by_role("button", name="Add host…")).to_be_focused()
    open_tab(page, "Jobs")
    command(page, "Add a Docker host…")
    expect(form.get_by_role("combobox", name="Host")).to_be_focused()
    form.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("list", name="Docker hosts")).to_have_count(0)


def test_what_else_runs_there_is_told(page: Page, far_host: FarHost) -> None:
    engine = engines.client(far_host.engine_url)
    image = far_host.busybox_image()
    try:
        limits = engine.api.create_host_config(mem_limit=64_000_000, nano_cpus=500_000_000)
        name = "<b>somebody</b>"
        engine.api.start(
            engine.api.create_container(image, ["sleep", "600"], host_config=limits, labels={"job": name})
        )
    finally:
        engine.close()
    card = add(open_tab(page, "Nodes"))
    summary = card.get_by_text("1 container of others runs there")
    summary.click()
    others = card.get_by_role("list", name="What else runs there").get_by_role("listitem")
    expect(others).to_contain_text("0.5 CPU · 64 MB")
    expect(card).to_contain_text("others hold 0.5 CPU")
    card.get_by_role("button", name="Clean up gpu1…").click()
    expect(card).to_contain_text("No other node has left anything there.")
    card.get_by_role("button", name="Close").click()
    remove(card, page)


def test_the_row_of_a_job_says_what_is_copied_to_its_host(
    page: Page, far_host: FarHost, client: Client, docker_engine: str
) -> None:
    near = engines.client(docker_engine)
    name = f"bacalhau-jupyter-test/only-here-{far_host.name}:1"
    try:
        add_layer(near.api, images.ensure_busybox(docker_engine), name, 60_000_000)
        panel = open_tab(page, "Nodes")
        add(panel)
        open_tab(page, "Jobs")
        page.evaluate(LISTEN)
        client.submit(docker(name, ["true"], host="gpu1", name="needs-a-copy")).wait()
        expect(row(panel, "needs-a-copy")).to_contain_text("Completed")
        said: list[str] = page.evaluate("window.saidOfHosts")
        assert [words for words in said if COPYING.fullmatch(words)], said
    finally:
        near.api.remove_image(name, force=True)
        near.close()


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_in_a_narrow_panel_nothing_of_a_host_is_cut_or_faint(
    page: Page, hosts_lab: LabServer, far_host: FarHost, shot: Shot, theme: str
) -> None:
    with narrow(page, hosts_lab, theme):
        panel = open_tab(page, "Nodes")
        look = Looks(panel, shot, f"hosts-{theme.split()[-1].lower()}")
        card = add(panel)
        look("card")
        card.get_by_text("Address, engine and more").click()
        card.get_by_role("button", name="Test gpu1").click()
        expect(card).to_contain_text("It works.")
        look("test")
        card.get_by_role("button", name="Test gpu1").click()
        form = open_form(panel)
        form.get_by_role("combobox", name="Host").select_option("alias:bobs")
        form.get_by_role("button", name="Test").click()
        expect(form).to_contain_text("usermod")
        look("form")
        form.get_by_role("button", name="Cancel").click()
        remove(card, page)
    look.assert_fine(places=3)

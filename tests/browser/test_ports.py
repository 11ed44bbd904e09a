"""The ports of a running job in the panel: a link that the browser really opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, Port, replace
from tests.browser.conftest import Shot
from tests.browser.panel import open_panel, row
from tests.services.common import accepts_connections, wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

SERVES = (
    "mkdir site; echo '<h1>served by a job</h1>' > site/index.html;"
    'python3 -m http.server --bind 127.0.0.1 -d site "$BACALHAU_HOST_PORT_web"'
)


def test_the_port_of_a_running_job_is_a_link_to_what_it_serves(
    page: Page, submit: Callable[[JobModel], Job], shot: Shot
) -> None:
    ports = [Port(name="web", host_network="127.0.0.1"), Port(name="db")]
    model = process(SERVES, name="serves")
    task = replace(model.task, network=NetworkConfig(type=NetworkType.HOST, ports=ports))
    panel = open_panel(page)
    job = submit(replace(model, tasks=[task]))
    mine = row(panel, "serves")
    expect(mine).to_contain_text("Running")
    mine.click()
    panel.get_by_role("tab", name="Executions").click()
    shown = panel.get_by_role("group", name="Ports")
    expect(shown).to_contain_text("db *:")
    links = shown.get_by_role("link")
    expect(links).to_have_count(1)
    expect(links).to_contain_text("web 127.0.0.1:")
    expect(links).to_have_css("text-decoration-line", "underline")
    shot("ports")
    # Its program listens only a moment after the job runs.
    address = urlsplit(links.get_attribute("href") or "")
    assert address.hostname is not None and address.port is not None
    port = (address.hostname, address.port)
    assert wait_until(lambda: accepts_connections(*port), timeout_s=60)
    with page.expect_popup() as opened:
        links.click()
    expect(opened.value.get_by_role("heading", name="served by a job")).to_be_visible()
    assert opened.value.evaluate("window.opener") is None
    job.stop()
    expect(shown).to_have_count(0)

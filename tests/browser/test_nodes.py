"""The Nodes tab in a real browser, against a real node."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from tests.browser.conftest import Shot

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import command, open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Submit = Callable[[JobModel], Job]
NODES = re.compile(r"/bacalhau/api/v1/orchestrator/nodes(\?|$)")
NODE = re.compile(r"/bacalhau/api/v1/orchestrator/nodes/[^/]+$")


def test_a_host_shows_what_it_has_and_its_meters_follow_its_jobs_without_a_reload(
    page: Page, submit: Submit, shot: Shot
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    panel = open_tab(page, "Nodes")
    host = panel.get_by_role("list", name="Nodes").get_by_role("listitem").first
    expect(host).to_contain_text("Connected")
    for name in ("CPU", "Memory", "Disk"):
        expect(host.get_by_role("meter", name=name)).to_be_visible()
    engines = host.get_by_role("list", name="Engines")
    expect(engines.get_by_role("listitem").filter(has_text="process").first).to_be_visible()
    cpu = host.get_by_role("meter", name="CPU")
    # What jobs of earlier tests held may be given back late.
    expect(cpu).to_have_attribute("aria-valuenow", "0")
    job = submit(process("sleep 300", name="takes-cpu", cpu="0.25"))
    expect(cpu).to_have_attribute("aria-valuenow", "0.25")
    shot("nodes")
    job.stop()
    expect(cpu).to_have_attribute("aria-valuenow", "0")
    host.get_by_text("Labels, version and more").click()
    expect(host.get_by_role("list", name="Labels")).to_contain_text(f"os_type={platform.system().lower()}")
    # Our own node can neither be rejected nor deleted here.
    expect(host.get_by_role("button")).to_have_count(0)
    panel.get_by_role("tab", name="Jobs").click()
    expect(host).to_be_hidden()
    page.wait_for_timeout(300)
    asked.clear()
    submit(process("true", name="nobody-watches-nodes")).wait()
    page.wait_for_timeout(1500)
    assert not [url for url in asked if "/orchestrator/nodes" in url], "a hidden tab costs nothing"


def test_gpus_are_metered_where_there_are_any_and_membership_is_changed_after_a_question(
    page: Page, shot: Shot
) -> None:
    # No second host can join yet, and this machine has no GPU: the cluster's answer is extended on its way.
    sent: list[dict[str, Any]] = []

    def extend(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        other = json.loads(json.dumps(body["Nodes"][0]))
        other["Info"]["NodeID"] = "n-00000000-other"
        other["Info"]["Labels"]["name"] = "gpu-box"
        other["Membership"] = "PENDING" if not sent else "APPROVED"
        compute = other["Info"]["ComputeNodeInfo"]
        gpus = [{"Index": index, "Name": "Tesla T4", "Memory": 15360} for index in range(2)]
        compute["MaxCapacity"] |= {"GPU": 2, "GPUs": gpus}
        compute["AvailableCapacity"] |= {"GPU": 1, "GPUs": gpus[1:]}
        compute["GPUProblems"] = {"rocm-smi": "it failed with exit code 1"}
        compute["ExecutionEngines"] = [each for each in compute["ExecutionEngines"] if each != "wasm"]
        compute["EngineProblems"] = {"wasm": "the package wasmtime is missing"}
        body["Nodes"].append(other)
        route.fulfill(response=answer, json=body)

    def change(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or "{}"))
        route.fulfill(json={"Success": True})

    page.route(NODES, extend)
    page.route(NODE, change)
    panel = open_tab(page, "Nodes")
    box = panel.get_by_role("listitem", name="Node gpu-box")
    expect(box.get_by_role("meter", name="GPU")).to_have_attribute("aria-valuetext", "1 of 2")
    expect(box.get_by_role("list", name="GPUs")).to_contain_text("Tesla T4 · 16 GB · in use")
    expect(box.get_by_role("list", name="GPUs")).to_contain_text("Tesla T4 · 16 GB · free")
    expect(box.get_by_role("list", name="GPUs")).to_contain_text("rocm-smi: it failed with exit code 1")
    expect(box.get_by_role("list", name="Engines")).to_contain_text(
        "wasm off: the package wasmtime is missing"
    )
    expect(box).to_contain_text("waits for approval")
    own = panel.get_by_role("list", name="Nodes").locator("> li").filter(has_not_text="gpu-box")
    expect(own.get_by_role("meter", name="GPU")).to_have_count(0)
    shot("nodes-gpu")
    box.get_by_role("button", name="Approve…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert sent == []
    box.get_by_role("button", name="Approve…").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(box.get_by_role("button", name="Approve…")).to_have_count(0)
    assert sent == [{"Action": "approve", "Message": "", "NodeID": "n-00000000-other"}]
    command(page, "Reject a node…")
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("gpu-box")
    question.get_by_role("button", name="OK").click()
    expect(page.get_by_role("dialog")).to_contain_text("Reject node gpu-box?")
    page.keyboard.press("Escape")
    assert len(sent) == 1

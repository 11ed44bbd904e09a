"""The panel in a real browser when a kernel or a terminal chooses another cluster: an official one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from tests.services.node import ServedNode
from tests.services.official import BINARY, NO_BINARY, ReplayedCluster, official_cluster, replayed_cluster

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def store(lab_node: ServedNode) -> Iterator[ProfileStore]:
    """The saved connections; other tests expect their own node."""
    store = ProfileStore(lab_node.repo.profiles_dir)
    yield store
    store.deselect()
    for name in store.names():
        store.delete(name)


@pytest.fixture
def official() -> Iterator[ReplayedCluster]:
    with replayed_cluster() as cluster:
        yield cluster


def look_at(page: Page, store: ProfileStore, url: str, node: str) -> None:
    """Switch as `connect` does, look at each tab, and switch back."""
    panel = open_tab(page, "Cluster")
    facts = panel.get_by_role("region", name="Connected cluster")
    expect(facts).to_contain_text("the node of the Jupyter server")
    store.save("official", Profile(endpoint=url))
    store.select("official")
    expect(facts).to_contain_text("the saved connection “official”")
    expect(facts).to_contain_text("This cluster runs official Bacalhau")
    # Nothing of the own node stays, and what official nodes do not offer is not there to press.
    expect(panel.get_by_role("region", name="Disk")).to_have_count(0)
    open_tab(page, "Nodes")
    expect(panel.get_by_role("listitem", name=f"Node {node}")).to_be_visible()
    open_tab(page, "Jobs")
    expect(panel.get_by_text("Loading…")).to_have_count(0)
    expect(panel.get_by_role("tab", name="Data", exact=True)).to_have_count(0)
    store.deselect()
    open_tab(page, "Cluster")
    expect(facts).to_contain_text("the node of the Jupyter server")
    expect(panel.get_by_role("region", name="Disk")).to_be_visible()


def test_a_switch_made_elsewhere_takes_the_panel_along(
    page: Page, store: ProfileStore, official: ReplayedCluster
) -> None:
    look_at(page, store, official.url, "n-test")


@pytest.mark.skipif(not BINARY, reason=NO_BINARY)
def test_the_panel_shows_a_real_official_cluster(
    page: Page, store: ProfileStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with official_cluster(tmp_path_factory.mktemp("official")) as url:
        look_at(page, store, url, "stock")

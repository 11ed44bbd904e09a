"""Log in from the panel, at a real identity provider: a link and a code, and the token stays on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from tests.browser.conftest import Shot
from tests.browser.lab import TOKEN, LabServer
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, start_node
from tests.services.oidc import IdentityProvider, confirm

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import open_tab

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory, identity_provider: IdentityProvider
) -> Iterator[ServedNode]:
    """A node whose users come from the provider."""
    directory = tmp_path_factory.mktemp("team") / "repo"
    options = [*identity_provider.options(), "-c", "API.TrustLocalUser=false"]
    started = service_or_skip(lambda: start_node(directory, *options))
    yield started
    started.stop()


@pytest.fixture
def store(lab: LabServer, lab_node: ServedNode, team: ServedNode) -> Iterator[ProfileStore]:
    """The saved connections, of which "team" is in use; other tests expect their own node again."""
    profiles = ProfileStore(lab_node.repo.profiles_dir)
    profiles.save("team", Profile(endpoint=team.url, token="e30.e30.expired"))
    _use(lab, "team")
    yield profiles
    _use(lab, "")
    profiles.delete("team")


def _use(lab: LabServer, name: str) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    address = f"{lab.url}bacalhau/connections/current"
    request = Request(address, data=json.dumps({"name": name}).encode(), method="PUT", headers=headers)
    with urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_an_expired_login_leads_to_the_login_and_on(store: ProfileStore, page: Page, shot: Shot) -> None:
    panel = open_tab(page, "Jobs")
    button = panel.get_by_role("button", name="Log in with Test OP")
    button.click()
    login = panel.get_by_role("status", name="Log in with Test OP")
    expect(login.locator("code")).to_have_text(re.compile(r"\w{4}-\w{4}"))
    shot("login-code")
    link = login.get_by_role("link").get_attribute("href")
    assert link is not None
    login.get_by_role("button", name="Cancel").click()
    # A person who changes their mind gets another code.
    button.click()
    again = login.get_by_role("link").get_attribute("href")
    assert again is not None
    assert again != link
    confirm(again, "ada")
    expect(login).to_have_count(0)
    expect(panel.get_by_role("alert")).to_have_count(0)
    token = store.load("team").token
    assert token.startswith("eyJ")
    assert token not in page.content()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert token not in kept
    shot("logged-in")

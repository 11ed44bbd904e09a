"""Log in from a cell, at a real identity provider: a link and a code, and nothing of them afterwards."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.notebook.conftest import Kernel, Ran
from tests.services.node import ServedNode, start_node
from tests.services.oidc import IdentityProvider, confirm

LOGIN = "%bacalhau auth login"
LINK = re.compile(r'href="([^"]+)"')


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, identity_provider: IdentityProvider
) -> Iterator[ServedNode]:
    directory = tmp_path_factory.mktemp("login") / "repo"
    started = start_node(directory, *identity_provider.options(), "-c", "API.TrustLocalUser=false")
    yield started
    started.stop()


@pytest.fixture
def stranger(kernel: Kernel, served: ServedNode) -> Iterator[Kernel]:
    """A kernel whose cluster asks for a login."""
    kernel.run(f"%env BACALHAU_API_HOST=127.0.0.1\n%env BACALHAU_API_PORT={served.port}")
    yield kernel
    kernel.run("%bacalhau auth logout")


def when_shown(act: Callable[[str], object]) -> Callable[[Ran], None]:
    """Return what does something with the link, beside the running cell, once it is shown."""
    begun: list[threading.Thread] = []

    def look(ran: Ran) -> None:
        if ran.displays and not begun:
            link = LINK.search(ran.displays[0]["text/html"])
            assert link is not None
            begun.append(threading.Thread(target=act, args=(link[1].replace("&amp;", "&"),)))
            begun[0].start()

    return look


def test_a_cell_logs_in_with_a_link_and_a_code_that_do_not_stay(stranger) -> None:
    ran = stranger.run(LOGIN, on_output=when_shown(lambda page: confirm(page, "ada")))
    assert ran.status == "ok", ran.traceback
    first, last = ran.displays[0], ran.displays[-1]
    assert re.search(r"Code: <strong><code>\w{4}-\w{4}</code>", first["text/html"])
    assert "Test OP" in first["text/plain"]
    # One output, which was replaced: what a notebook saves has no code in it.
    assert len(ran.display_ids) == 1
    assert last["text/plain"].startswith("Logged in to http://127.0.0.1:")
    assert not ran.stdout
    assert stranger.run("%bacalhau job list").status == "ok"
    job = stranger.run("%%bacalhau sh --detach\ntrue")
    assert job.status == "ok", job.traceback


def test_what_needs_a_login_says_what_to_type(stranger) -> None:
    for code in ("%bacalhau job list", "%%bacalhau sh\ntrue"):
        ran = stranger.run(code)
        assert ran.status == "error"
        assert LOGIN in ran.traceback
        assert len(ran.traceback.splitlines()) <= 3


def test_a_token_is_not_printed_where_it_would_be_saved(stranger) -> None:
    stranger.run(LOGIN, on_output=when_shown(lambda page: confirm(page, "ron")))
    refused = stranger.run("%bacalhau auth sso token")
    assert refused.status == "error"
    assert "saved with the notebook" in refused.traceback
    assert "eyJ" not in str(refused)
    assert '"sub": "ron"' in str(stranger.run("%bacalhau auth sso token -d"))


def test_an_interrupt_gives_the_login_up(stranger) -> None:
    ran = stranger.run(LOGIN, on_output=when_shown(lambda _: stranger.interrupt()))
    assert ran.status == "error"
    assert "Interrupted" in ran.traceback
    assert ran.displays[-1]["text/plain"] == "Not logged in."


def test_a_refusal_is_one_sentence(stranger) -> None:
    ran = stranger.run(LOGIN, on_output=when_shown(lambda page: confirm(page, "ada", refuse=True)))
    assert ran.status == "error"
    assert "access_denied" in ran.traceback
    assert ran.displays[-1]["text/plain"] == "Not logged in."

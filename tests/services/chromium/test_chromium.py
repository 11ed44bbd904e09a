"""The browser of the tests goes on with its requests while interfaces come and go."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.services.chromium import chromium
from tests.services.common import is_root
from tests.services.fixtures import service_or_skip

REQUESTS = 24
"""Many more than a browser has connections to one server: the rest wait for one."""
FETCH = f"""Promise.all([...Array({REQUESTS}).keys()].map(number =>
    fetch('/waits?' + number).then(answer => answer.ok, () => false)
)).then(done => done.filter(each => each).length)"""


class Waiting(BaseHTTPRequestHandler):
    """Answers only when it may."""

    may_answer = threading.Event()

    def do_GET(self) -> None:
        if self.path.startswith("/waits"):
            self.may_answer.wait(30)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    Waiting.may_answer.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Waiting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    Waiting.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _come_and_go() -> None:
    """Make an interface with an address, and remove it, when the requests wait; then have them answered."""
    name, other = f"bjn{os.getpid() % 100_000}a", f"bjn{os.getpid() % 100_000}b"
    try:
        for command in (
            f"link add {name} type veth peer name {other}",
            f"addr add 10.254.7.1/30 dev {name}",
            f"link set {name} up",
            f"link set {other} up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        # The browser takes two seconds to be sure that an address has come.
        Waiting.may_answer.wait(4)
    finally:
        subprocess.run(["ip", "link", "del", name], check=False)
        Waiting.may_answer.set()


def test_requests_go_on_while_an_interface_comes_and_goes(address: str) -> None:
    if not is_root():
        pytest.skip("only root can make an interface")
    playwright = pytest.importorskip("playwright.sync_api")
    path = service_or_skip(chromium)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(address)
        change = threading.Timer(0.5, _come_and_go)
        change.start()
        done = page.evaluate(FETCH)
        change.join()
        browser.close()
    # Chromium itself cancels three quarters of them.
    assert done == REQUESTS

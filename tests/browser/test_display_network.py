"""Nothing that a job displays opens a connection: a listener on this machine sees what a browser would reach."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.browser.test_displays import load, run_cell
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REACHING = r"""
from IPython.display import HTML, Markdown, display

at = "http://ADDRESS/WHO"
pages = [
    f"<style>@font-face {{ font-family: f; src: url({at}-font) }} p {{ font-family: f }}</style><p>a</p>",
    f"<style>@import '{at}-import'; @import url({at}-import2);</style><p>a</p>",
    f"<style>p {{ background: u\\72l({at}-css) }}</style><p style='list-style:url({at}-list)'>a</p>",
    f"<p style='background: image-set(\"{at}-set\" 1x)'>a</p>",
    f"<img src='{at}-src'><img srcset='{at}-srcset 1x'><picture><source srcset='{at}-picture'><img></picture>",
    f"<video poster='{at}-poster' src='{at}-video' autoplay></video><audio src='{at}-audio' autoplay></audio>",
    f"<link rel=preconnect href='{at}'><link rel=dns-prefetch href='{at}'><link rel=prefetch href='{at}-pf'>",
    f"<link rel=stylesheet href='{at}-sheet'><link rel=preload as=image href='{at}-preload'>",
    f"<!--><link rel=preconnect href='{at}'><img src='{at}-hidden'>-->",
    f"<meta http-equiv=refresh content='0;url={at}-refresh'><base href='{at}-base/'><img src=x>",
    f"<iframe src='{at}-frame'></iframe><object data='{at}-object'></object><embed src='{at}-embed'>",
    f"<svg><image href='{at}-image'/><use href='{at}-use#a'/><rect fill='url({at}-fill#a)'/></svg>",
    f"<table background='{at}-table'><tr><td>a</table><input type=image src='{at}-input'>",
]
for page in pages:
    # These two would break the page itself, where the kernel displays them.
    if "WHO" == "job" or "refresh" not in page:
        display(HTML(page))
display(Markdown(f"![a]({at}-markdown)"))
chart = {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a"}}}
focus = {"input": "text", "autofocus": "", "onfocus": f"new Image().src='{at}-focus'"}
members = [
    {"data": {"url": f"{at}-vega"}},
    {"params": [{"name": "s", "value": "", "bind": {"input": "image", "src": f"{at}-bind"}}]},
    {"params": [{"name": "s", "value": "", "bind": {"input": "text", "style": f"background:u\\72l({at}-style)"}}]},
    {"params": [{"name": "s", "value": "", "bind": focus}]},
    {"mark": {"type": "image", "url": f"{at}-mark", "width": 9, "height": 9}},
]
for more in members:
    display({"application/vnd.vegalite.v5+json": {**chart, **more}, "text/plain": "a chart"}, raw=True)
print("all shown")
"""
EXPECTED = (
    "font",
    "import",
    "css",
    "src",
    "sheet",
    "frame",
    "image",
    "markdown",
    "vega",
    "bind",
    "style",
    "mark",
)
"""Of what the control reaches; the rest depends on the browser."""


class Listener:
    """Listens on this machine.

    Attributes
    ----------
    connections
        Whoever connected; one that is only opened ahead says nothing.
    said
        The first line of each of them that said something.
    """

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.said: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        # A browser that gets no processor says late what it wants: a connection is waited for until `close`.
        with connection, contextlib.suppress(OSError):
            first = connection.recv(500)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            if first:
                self.said.append(first.split(b"\r\n")[0].decode(errors="replace"))

    def close(self) -> None:
        """Hang up."""
        for each in (self._server, *self.connections):
            # Who waits in another thread learns of this one only.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Listen on this machine."""
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def page(
    browser: Browser,
    lab: LabServer,
    listener: Listener,
    request: pytest.FixtureRequest,
    shot_dir: Path,
) -> Iterator[Page]:
    """A notebook whose cells show the same, one as a job and one in the kernel."""
    address = listener.address
    job = "%%bacalhau python" + REACHING.replace("ADDRESS", address).replace("WHO", "job")
    kernel = REACHING.replace("ADDRESS", address).replace("WHO", "kernel")
    made = notebook(
        *(
            {**cell(source), "outputs": [], "execution_count": None}
            for source in ("%load_ext bacalhau_jupyter", job, kernel)
        ),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    (lab.root / "reaching.ipynb").write_text(json.dumps(made))
    yield from lab_page(browser, lab, request, shot_dir, "lab/tree/reaching.ipynb")


def test_nothing_that_a_job_displays_connects_to_anything(page: Page, listener: Listener) -> None:
    load(page)
    shown = run_cell(page, 1)
    expect(shown).to_contain_text("all shown", timeout=60_000)
    expect(shown.locator("iframe")).to_have_count(14)
    # The last chart is there, as text, and what stands before it has been drawn.
    expect(shown).to_contain_text("is not drawn: show it as an image")
    page.evaluate("() => new Promise(done => requestIdleCallback(done))")
    # Not even one that says nothing; later ones may be of the kernel's cell.
    assert not listener.connections, listener.said

    # The control: the same, displayed by the kernel itself, is drawn in the page and reaches the listener.
    run_cell(page, 2)
    assert wait_until(
        lambda: all(any(f"kernel-{way}" in line for line in listener.said) for way in EXPECTED), timeout_s=60
    ), listener.said
    assert [line for line in listener.said if "kernel" not in line] == []

"""What a job displays, in a real JupyterLab: plots appear, and nothing of it acts in the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.notebook.displays.allowed import allowed
from bacalhau_jupyter.notebook.displays.foreign import sandboxed
from tests.browser.conftest import lab_page
from tests.browser.lab import LabServer
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PLOT = """%%bacalhau python
import matplotlib.pyplot as plt
print("before")
plt.plot([1, 3, 2])
plt.show()
print("after")
"""
CHART = """%%bacalhau python
spec = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "data": {"values": [{"a": "x", "b": 1}, {"a": "y", "b": 3}]},
    "mark": "bar",
    "encoding": {"x": {"field": "a"}, "y": {"field": "b", "type": "quantitative"}},
}
display({"application/vnd.vegalite.v6.json": spec, "text/plain": "a chart"}, raw=True)
print("drawn")
"""
ATTACK = """
from IPython.display import HTML, SVG, Javascript, Markdown, display
script = "<script>top.attacked = 'script'</script><img src='x' onerror=\\"top.attacked = 'error'\\">"
display(HTML(script + "<b>a bold word</b><img src='/user/x/api/status?canary'>"))
display(Markdown("# a head\\n" + script))
attack = "top.attacked = 'svg'"
display(SVG(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{attack}"><script>{attack}</script></svg>'))
display(Javascript("top.attacked = 'javascript'; element.textContent = 'JS'"))
display({"text/html": "<iframe srcdoc=\\"<script>top.attacked = 'inner'</script>\\"></iframe>"}, raw=True)
print("all shown")
"""


@pytest.fixture(params=[[PLOT, "%%bacalhau python" + ATTACK, ATTACK]])
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook; by default of a plot, of an attack, and of the same attack without a job."""
    sources = ["%load_ext bacalhau_jupyter", *request.param]
    made = notebook(
        *({**cell(source), "outputs": [], "execution_count": None} for source in sources),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    # A kernel stays with its notebook's name.
    name = f"displays-{len(sources)}.ipynb"
    (lab.root / name).write_text(json.dumps(made))
    yield from lab_page(browser, lab, request, shot_dir, f"lab/tree/{name}")


def run_cell(page: Page, number: int) -> Locator:
    """Run a cell; return where its output is."""
    page.locator(".jp-Cell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    return page.locator(".jp-Cell").nth(number).locator(".jp-Cell-outputArea")


def load(page: Page) -> None:
    """Wait for the kernel and load the extension there."""
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    run_cell(page, 0)
    expect(page.locator(".jp-Cell").first).to_contain_text("[1]:", timeout=60_000)


@pytest.mark.parametrize("page", [[CHART]], indirect=True)
def test_a_chart_of_the_newest_vega_lite_is_drawn(page: Page) -> None:
    load(page)
    chart = run_cell(page, 1)
    expect(chart).to_contain_text("drawn", timeout=60_000)
    expect(chart.locator("canvas, svg.marks").first).to_be_visible(timeout=60_000)


def test_a_plot_appears_and_foreign_html_does_nothing(page: Page) -> None:
    pytest.importorskip("matplotlib")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    load(page)
    plot = run_cell(page, 1)
    picture = plot.locator("img[src^='data:image/png']")
    expect(picture).to_be_visible(timeout=60_000)
    expect(plot).to_contain_text("after")
    assert picture.evaluate("image => image.naturalWidth") > 100
    texts = plot.inner_text()
    assert texts.index("before") < texts.index("after")

    shown = run_cell(page, 2)
    expect(shown).to_contain_text("all shown", timeout=60_000)
    frames = shown.locator("iframe[sandbox='']")
    expect(frames).to_have_count(3)
    expect(frames.first.content_frame.locator("b")).to_have_text("a bold word")
    expect(frames.nth(1).content_frame.locator("h1")).to_have_text("a head")
    expect(shown.locator("img[src^='data:image/svg']")).to_have_count(1)
    # Whatever would act has had its time: a frame of ours that comes later is drawn.
    expect(frames.nth(2)).to_be_visible()
    assert page.evaluate("window.attacked") is None
    assert not [url for url in requested if "canary" in url]

    # The control: what the kernel itself displays may act, and this does.
    run_cell(page, 3)
    page.wait_for_function("window.attacked", timeout=60_000)

    def has_asked() -> bool:
        page.wait_for_timeout(50)  # we hear of its requests on another way than of its scripts
        return any("canary" in url for url in requested)

    assert wait_until(has_asked, timeout_s=60)


@pytest.mark.parametrize("rows", [1, 2, 5, 15])
def test_the_frame_of_a_small_table_is_as_high_as_its_rows(browser: Browser, rows: int) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(rows), "b": "x"})
    shown = allowed({"text/html": frame._repr_html_(), "text/plain": ""}, {}).data["text/html"]
    page = browser.new_page()
    page.set_content(shown)
    room = page.locator("iframe").evaluate("e => e.clientHeight")
    table = page.locator("iframe").content_frame.locator("table").bounding_box()
    page.close()
    assert table is not None
    margins = room - table["height"]
    assert 10 <= margins <= 16, "no scroll bar, and no empty row"


def test_a_frame_of_foreign_html_fits_the_output_it_stands_in(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(f'<div id="output" style="width:500px;overflow:auto">{sandboxed("<b>x</b>", 100)}</div>')
    sizes = page.locator("#output").evaluate("e => [e.scrollWidth, e.clientWidth, e.scrollHeight]")
    page.close()
    assert sizes == [500, 500, 100]

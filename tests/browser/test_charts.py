"""Charts of Plotly and Altair, made by the packages themselves in a job, in a real JupyterLab with their renderers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Shot, lab_page
from tests.browser.lab import LabServer
from tests.browser.test_displays import load, run_cell
from tests.client.notebooks.test_notebooks import cell, notebook

pytest.importorskip("playwright.sync_api")
pytest.importorskip("altair")
pytest.importorskip("plotly")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ATTACK = "<img src='/user/x/api/status?canary' onerror='top.attacked = 1'><script>top.attacked = 2</script>"
PLOTLY = f"""%%bacalhau python
import plotly.express as px
figure = px.bar(x=["a", "b"], y=[1, 3], title="Drawn by Plotly")
figure.show()
hostile = px.bar(x=["a", {ATTACK!r}], y=[1, 3], title="Hostile Plotly")
display(hostile)
print("plotly is done")
"""
ALTAIR = f"""%%bacalhau python
import altair as alt, pandas as pd
def chart(names, title):
    frame = pd.DataFrame({{"name": names, "n": [1, 3]}})
    return alt.Chart(frame, title=title).mark_bar().encode(x="name", y="n", tooltip="name")
display(chart(["a", "b"], "Drawn by Altair"))
display(chart(["a", {ATTACK!r}], "Hostile Altair"))
print("altair is done")
"""


@pytest.fixture
def page(browser: Browser, lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path) -> Iterator[Page]:
    """A page with a notebook that draws with both."""
    made = notebook(
        *(
            {**cell(source), "outputs": [], "execution_count": None}
            for source in ("%load_ext bacalhau_jupyter", PLOTLY, ALTAIR)
        ),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
    (lab.root / "charts.ipynb").write_text(json.dumps(made))
    yield from lab_page(browser, lab, request, shot_dir, "lab/tree/charts.ipynb")


def test_charts_of_a_job_are_drawn_and_neither_reach_out_nor_run_what_their_data_says(
    page: Page, lab: LabServer, shot: Shot
) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    load(page)
    plotly = run_cell(page, 1)
    expect(plotly).to_contain_text("plotly is done", timeout=60_000)
    drawn = plotly.locator(".js-plotly-plot")
    expect(drawn.first.locator(".bars .point")).to_have_count(2, timeout=60_000)
    expect(drawn.first.locator(".gtitle")).to_have_text("Drawn by Plotly")
    # A text with an element in it might load something: such a chart is not drawn at all.
    expect(drawn).to_have_count(1)
    expect(plotly).to_contain_text("is not drawn: show it as an image")
    shot("plotly")
    altair = run_cell(page, 2)
    expect(altair).to_contain_text("altair is done", timeout=60_000)
    canvas = altair.locator("canvas, svg.marks")
    expect(canvas.first).to_be_visible(timeout=60_000)
    assert canvas.first.evaluate("e => e.getBoundingClientRect().height") > 100
    # A pointer over the hostile bar makes the chart say what its data says, as text.
    chart = canvas.last
    chart.scroll_into_view_if_needed()
    tooltip = page.locator("#vg-tooltip-element")
    box = chart.bounding_box()
    assert box is not None
    for share in (0.2, 0.3, 0.4, 0.5) * 20:
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.4)
        page.wait_for_timeout(200)  # the chart answers to a pointer that stays
        if tooltip.count() and "<img src" in tooltip.inner_text():
            break
    expect(tooltip).to_contain_text("<img src=")
    expect(tooltip.locator("img")).to_have_count(0)
    shot("altair")
    page.evaluate("() => new Promise(done => requestIdleCallback(done))")
    assert page.evaluate("window.attacked") is None
    home = urlsplit(lab.url).netloc
    assert [url for url in requested if urlsplit(url).scheme.startswith("http") and home not in url] == []
    assert [url for url in requested if "canary" in url] == []

"""Looks at each place of the panel: what is cut there, and what is too faint to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import META_TITLE
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import replace
from tests.browser.conftest import Shot
from tests.browser.lab import LabServer
from tests.browser.panel import CONTRAST, put_setting, row
from tests.browser.tabs import open_tab

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Submit = Callable[[JobModel], Job]
LONG = "a-job-whose-name-nobody-would-type-twice-in-a-day"

LEAST_CONTRAST = 4.5
NARROW = "#bacalhau-panel { width: 240px !important; min-width: 0 !important }"
"""Narrower than JupyterLab makes a side panel, as other hosts and a large font do."""
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
_THEMES = "@jupyterlab/apputils-extension:themes"

CUT = """panel => {
  const cut = [];
  // These scroll sideways by design: a line of a program is not broken.
  const scrolls = node => node.matches('pre, .jp-Bacalhau-table, .jp-Bacalhau-logs-lines');
  const look = (box, from, text, isControl) => {
    if (box.width === 0 || box.height === 0) return;
    for (let at = from; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX !== 'visible') {
        if (scrolls(at)) return;
        const room = at.getBoundingClientRect();
        if (box.right > room.right + 1 || box.left < room.left - 1) {
          const isShortened = !isControl && style.textOverflow === 'ellipsis' && at.closest('[title]');
          if (!isShortened) cut.push(`${text} in .${at.className}`);
          return;
        }
      }
      if (at === panel) return;
    }
  };
  const words = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  for (let text = words.nextNode(); text; text = words.nextNode()) {
    if (!text.data.trim() || text.parentElement.closest('option')) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    look(range.getBoundingClientRect(), text.parentElement, text.data.trim(), false);
  }
  for (const control of panel.querySelectorAll('button, input, select')) {
    const name = control.getAttribute('aria-label') || control.textContent || control.placeholder;
    look(control.getBoundingClientRect(), control.parentElement, name, true);
  }
  const brush = document.createElement('canvas').getContext('2d');
  for (const control of panel.querySelectorAll('select, input')) {
    const style = getComputedStyle(control);
    const text = control.matches('select') ? control.selectedOptions[0]?.text : control.placeholder;
    if (control.clientWidth === 0 || !text || control.title) continue;
    brush.font = style.font;
    const room = control.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (brush.measureText(text).width > room + 1) cut.push(`${text} in ${control.tagName}`);
  }
  return cut;
}"""
"""The texts and controls of the panel that reach beyond what shows them; an ellipsis with a tooltip is fine."""


def submit_all(submit: Submit, kind: str) -> None:
    """Submit a job for each way that a job can stand; their names end with ``kind``."""
    name = f"{LONG}-{kind}"
    of_notebook = process("true")
    submit(replace(of_notebook, meta={META_TITLE: f"{kind}-{LONG}.ipynb [3]"})).wait()
    submit(process("mkdir -p outputs; echo 1 > outputs/one.txt; echo seen", name=name)).wait()
    submit(process("echo 'last night has no table' >&2; exit 3", name=f"failed-{name}")).wait()
    submit(process("sleep 300", name=f"running-{name}", cpu="0.1", memory="64mb"))
    submit(process("true", name=f"refused-{name}", constraints="zone=far-away-from-here"))


def look_everywhere(panel: Locator, kind: str, look: Callable[[str], None]) -> None:
    """Call ``look`` with each place of the panel while it is on screen."""
    panel.get_by_role("searchbox").fill(kind)
    expect(row(panel, f"failed-{LONG}")).to_contain_text("exit 3")
    expect(row(panel, f"running-{LONG}")).to_contain_text("Running")
    expect(row(panel, f"refused-{LONG}")).to_contain_text("no node has the labels")
    look("jobs")
    panel.get_by_label("Filter jobs by notebook").select_option(f"{kind}-{LONG}.ipynb")
    look("notebook")
    panel.get_by_label("Filter jobs by notebook").select_option("")
    for name in ("refused", "failed"):
        job = row(panel, f"{name}-{LONG}")
        job.hover()
        expect(job.get_by_role("button", name="Logs")).to_be_visible()
        look(f"{name}-row")
        job.click(position={"x": 20, "y": 10})
        expect(panel.locator(".jp-Bacalhau-details")).to_be_visible()
        parts = panel.get_by_role("tablist", name="Parts of the job").get_by_role("tab")
        for part in parts.all_inner_texts():
            panel.get_by_role("tab", name=part, exact=True).click()
            look(f"{name}-{part}")
        panel.get_by_role("button", name="Back to the list").click()
    for tab in ("Nodes", "Data", "Cluster"):
        open_tab(panel.page, tab)
        look(tab)


@contextmanager
def narrow(page: Page, lab: LabServer, theme: str) -> Iterator[None]:
    """Make the panel of a page narrow, in a theme."""
    put_setting(lab, _THEMES, {"theme": theme})
    try:
        page.reload()
        is_light = str(theme == LIGHT).lower()
        expect(page.locator(f"body[data-jp-theme-light={is_light}]")).to_have_count(1, timeout=60_000)
        page.add_style_tag(content=NARROW)
        yield
    finally:
        put_setting(lab, _THEMES, {"theme": LIGHT})


class Looks:
    """Finds in each place what is cut, and what is too faint to be read."""

    def __init__(self, panel: Locator, shot: Shot, kind: str) -> None:
        self._panel, self._shot, self._kind = panel, shot, kind
        self.wrong: dict[str, list[object]] = {}

    def __call__(self, place: str) -> None:
        """Look at a place."""
        expect(self._panel.get_by_text("Loading…")).to_have_count(0)
        self._shot(f"{self._kind}-{place}")
        faint = [text for text in self._panel.page.evaluate(CONTRAST) if text[2] < LEAST_CONTRAST]
        self.wrong[place] = [words for words in self._panel.evaluate(CUT) if words] + faint

    def assert_fine(self, *, places: int = 11) -> None:
        """Fail where something was cut or faint, or where fewer places were looked at."""
        assert self.wrong == {place: [] for place in self.wrong}
        assert len(self.wrong) >= places

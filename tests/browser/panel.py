"""What tests and measurements of the panel share: finding it, its rows, and scripts that run in the page."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.browser.lab import TOKEN, LabServer
from tests.services.node import ServedNode

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

AT_ONCE = 50
FILL_TIMEOUT_S = 300

SHOWN = """() => new Promise(done => {
  const start = performance.now();
  document.querySelector('.jp-Bacalhau-status').click();
  const look = () => {
    const row = document.querySelector('#bacalhau-panel [role=row]');
    row ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(look);
  };
  look();
})"""
"""Open the panel; milliseconds until the first row is on screen."""

SCROLL = """() => new Promise(done => {
  const list = document.querySelector('#bacalhau-panel [role=grid]');
  const times = [];
  let last = performance.now();
  const step = () => {
    const now = performance.now();
    times.push(now - last);
    last = now;
    list.scrollTop += 3000;
    times.length < 60 ? requestAnimationFrame(step) : done(times.sort((a, b) => a - b));
  };
  requestAnimationFrame(step);
})"""
"""Scroll 60 times, all rows new each time; milliseconds of each frame, sorted."""

CONTRAST = """() => {
  const rgb = text => {
    const found = text.match(/[\\d.]+%?/g).map(Number);
    const scale = text.startsWith('color(') ? 255 : 1;
    return [found[0] * scale, found[1] * scale, found[2] * scale, found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector('#bacalhau-panel'), NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    const box = node.getBoundingClientRect();
    if (!text.data.trim() || box.width === 0 || node.closest('option, [aria-hidden=true]')) continue;
    const below = behind(node);
    const a = light(over(rgb(getComputedStyle(node).color), below)), b = light(below);
    found.push([text.data.trim().slice(0, 40), node.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""
"""Contrast of each text in the panel against what is behind it: ``[text, class, ratio]``."""

WATCH = """() => {
  const told = window.toldAt = {}, shown = window.shownAt = {};
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given);
      if (String(given[0]).includes('/orchestrator/events')) {
        this.addEventListener('message', message => {
          const event = JSON.parse(message.data);
          if (event.seq > 0 && event.state) told[`${event.job} ${event.state}`] ??= Date.parse(event.time);
        });
      }
    }
  };
  new MutationObserver(() => {
    for (const badge of document.querySelectorAll('#bacalhau-panel [role=row] [data-state]')) {
      const key = `${badge.closest('[role=row]').id.replace('jp-bacalhau-row-', '')} ${badge.dataset.state}`;
      if (!(key in shown)) {
        shown[key] = 0;
        requestAnimationFrame(() => shown[key] = Date.now());
      }
    }
  }).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
"""Run before the page's own scripts: notes when events happened (by the node's clock) and when they were on screen."""

LATENCIES = """() => Object.keys(window.toldAt).filter(key => window.shownAt[key])
  .map(key => window.shownAt[key] - window.toldAt[key]).sort((a, b) => a - b)"""
"""Milliseconds from each change of a job's state until it was on screen, sorted; after `WATCH`."""


def open_panel(page: Page) -> Locator:
    """Open the panel through the status bar and return it."""
    from playwright.sync_api import expect

    page.get_by_role("button", name=re.compile("Bacalhau: .* running")).click()
    panel = page.locator("#bacalhau-panel")
    expect(panel.get_by_role("grid")).to_be_visible()
    return panel


def row(panel: Locator, name: str) -> Locator:
    """Return the row of a job."""
    return panel.get_by_role("row").filter(has_text=name)


def put_setting(lab: LabServer, plugin: str, values: Mapping[str, Any]) -> None:
    """Save settings of a plugin, as JupyterLab's own editor does."""
    request = urllib.request.Request(
        f"{lab.url}lab/api/settings/{plugin}",
        data=json.dumps({"raw": json.dumps(values)}).encode(),
        method="PUT",
        headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 204


def fill(node: ServedNode, many: int) -> None:
    """Submit many jobs that no node takes. In a thread: Playwright's own loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_fill(node, many))).result(FILL_TIMEOUT_S)


async def _fill(node: ServedNode, many: int) -> None:
    url = f"{node.url}/api/v1/orchestrator/jobs"
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession() as session:

        async def submit(number: int) -> None:
            task = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}
            job = {"Name": f"many-{number:05d}", "Type": "batch", "Count": 1, "Tasks": [task]}
            async with gate, session.put(url, json={"Job": job}) as answer:
                assert answer.status == 200, await answer.text()

        await asyncio.gather(*(submit(number) for number in range(many)))

"""What tests of the panel's tabs share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def open_tab(page: Page, name: str) -> Locator:
    """Open the panel (unless it is) at a tab and return the panel."""
    panel = page.locator("#bacalhau-panel")
    if not panel.is_visible():
        page.get_by_role("button", name=re.compile("^Bacalhau: ")).click()
    tab = panel.get_by_role("tab", name=name, exact=True)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    return panel


def command(page: Page, label: str) -> None:
    """Run a command through the palette, as a person does."""
    page.keyboard.press("Control+Shift+C")
    box = page.locator(".jp-ModalCommandPalette input, #command-palette input").first
    box.fill(label)
    page.locator(".lm-CommandPalette-item").filter(has_text=label).first.click()


def write_notebook(path: Path, source: str) -> None:
    """Write a notebook of one code cell."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "one",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(
        json.dumps({"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )

"""Nothing in the panel is cut or faint: at the width that a side panel has at first, narrower, and in the dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Shot
from tests.browser.lab import LabServer
from tests.browser.panel import open_panel, put_setting

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.looks import Looks, Submit, look_everywhere, submit_all

if TYPE_CHECKING:
    from playwright.sync_api import Page

NARROW = "#bacalhau-panel { width: 240px !important; min-width: 0 !important }"
"""Narrower than JupyterLab makes a side panel, as other hosts and a large font do."""
THEMES = "@jupyterlab/apputils-extension:themes"


def test_no_button_and_no_text_is_cut_in_any_tab(page: Page, submit: Submit, shot: Shot) -> None:
    submit_all(submit, "wide")
    panel = open_panel(page)
    looks = Looks(panel, shot, "width")
    look_everywhere(panel, "wide", looks)
    looks.assert_fine()


def test_a_narrow_panel_in_the_dark_theme_is_whole_and_legible(
    page: Page, lab: LabServer, submit: Submit, shot: Shot
) -> None:
    put_setting(lab, THEMES, {"theme": "JupyterLab Dark"})
    try:
        submit_all(submit, "dark")
        page.reload()
        expect(page.locator("body[data-jp-theme-light=false]")).to_have_count(1, timeout=60_000)
        page.add_style_tag(content=NARROW)
        panel = open_panel(page)
        looks = Looks(panel, shot, "dark")
        look_everywhere(panel, "dark", looks)
    finally:
        put_setting(lab, THEMES, {"theme": "JupyterLab Light"})
    looks.assert_fine()

"""Nothing in the panel is cut or faint: at the width that a side panel has at first, narrower, and in the dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Shot
from tests.browser.lab import LabServer
from tests.browser.panel import open_panel

pytest.importorskip("playwright.sync_api")
from tests.browser.looks import DARK, Looks, Submit, look_everywhere, narrow, submit_all

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_no_button_and_no_text_is_cut_in_any_tab(page: Page, submit: Submit, shot: Shot) -> None:
    submit_all(submit, "wide")
    panel = open_panel(page)
    looks = Looks(panel, shot, "width")
    look_everywhere(panel, "wide", looks)
    looks.assert_fine()


def test_a_narrow_panel_in_the_dark_theme_is_whole_and_legible(
    page: Page, lab: LabServer, submit: Submit, shot: Shot
) -> None:
    submit_all(submit, "dark")
    with narrow(page, lab, DARK):
        panel = open_panel(page)
        looks = Looks(panel, shot, "dark")
        look_everywhere(panel, "dark", looks)
    looks.assert_fine()

"""What a job printed stands in its cell once, also after the page went away while the cell ran."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser.lab import LabServer
from tests.browser.test_adopt import Open, expect_live_card, opened, outputs, run_both, server, write
from tests.services.common import wait_until

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

__all__ = ["opened", "server"]


def kept_text(path: Path) -> str:
    """Return what the second cell of a notebook's file keeps of its streams; nothing while it is being written."""
    try:
        made = json.loads(path.read_text())
    except ValueError:
        return ""
    return "".join(
        "".join(output["text"]) for output in made["cells"][1]["outputs"] if output["output_type"] == "stream"
    )


def test_the_log_of_a_card_takes_the_place_of_what_the_cell_kept(
    server: LabServer, opened: Open, shot_dir: Path
) -> None:
    write(server)
    first = opened()
    run_both(first, server)
    first.keyboard.press("Control+s")
    file = server.root / "n.ipynb"
    assert wait_until(lambda: "tick-1." in kept_text(file), timeout_s=60)
    first.close()
    kept = kept_text(file)

    page = opened()
    card = expect_live_card(page)
    page.screenshot(path=str(shot_dir / "one-stream.png"))
    expect(outputs(page).locator("[data-mime-type*=stdout]")).to_be_hidden()
    # Whoever closes the log sees what the notebook has; its file never changes for it.
    card.get_by_role("button", name="Logs").click()
    expect(outputs(page).locator("[data-mime-type*=stdout]")).to_be_visible()
    assert kept_text(file) == kept

"""The Data tab in a real browser: what a real node shares, as inputs of cells."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bacalhau_jupyter.client.inputs.uri import parse_input
from tests.browser.conftest import Shot, built_labextension, lab_page
from tests.browser.lab import LabServer, start_lab
from tests.services.fixtures import service_or_skip
from tests.services.node import start_node

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from tests.browser.tabs import open_tab, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ODD = "it's, {odd} 100%.csv"
MANY = 250


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with something in it, and something beside it that nobody shares."""
    root = tmp_path_factory.mktemp("data") / "shared"
    (root / "sales").mkdir(parents=True)
    (root / "sales" / "north.csv").write_bytes(b"x" * 2048)
    (root / "sales" / ODD).write_text("a,b\n")
    (root / "many").mkdir()
    for number in range(MANY):
        (root / "many" / f"{number:04d}.txt").touch()
    (root / "scratch").mkdir()
    (root.parent / "secret").mkdir()
    return root


@pytest.fixture(scope="module")
def data_lab(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab on a node that shares the directory."""
    service_or_skip(built_labextension)
    directory = tmp_path_factory.mktemp("data-lab")
    allowed = f"Compute.AllowListedLocalPaths={shared}/**,{shared}/scratch:rw"
    node = service_or_skip(lambda: start_node(directory / "repo", "-c", allowed))
    try:
        lab = start_lab(directory / "lab", repo=node.repo.path)
        yield lab
        lab.stop()
    finally:
        node.stop()


@pytest.fixture
def page(
    browser: Browser, data_lab: LabServer, request: pytest.FixtureRequest, shot_dir: Path
) -> Iterator[Page]:
    """A page with an open notebook of one cell."""
    write_notebook(data_lab.root / "data.ipynb", "%%bacalhau sh \nls")
    yield from lab_page(browser, data_lab, request, shot_dir, "lab/tree/data.ipynb")


def browse(page: Page, shared: Path) -> Locator:
    """Open the shared directory in the Data tab and return the tree."""
    tree = open_tab(page, "Data").get_by_role("tree")
    tree.get_by_role("treeitem", name="Local paths").click()
    tree.get_by_role("treeitem").filter(has_text=str(shared)).first.click()
    return tree


def entry(tree: Locator, name: str) -> Locator:
    """Return an entry's line."""
    return tree.locator(".jp-Bacalhau-data").filter(
        has=tree.page.locator(".jp-Bacalhau-data-name").get_by_text(name, exact=True)
    )


def drag(page: Page, what: Locator, onto: Locator) -> None:
    """Drag with the mouse, to the end of a line."""
    start, end = what.bounding_box(), onto.bounding_box()
    assert start is not None and end is not None
    page.mouse.move(start["x"] + start["width"] / 3, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + 20, end["y"] + end["height"] / 2, steps=8)
    page.mouse.move(end["x"] + 300, end["y"] + end["height"] / 2, steps=8)
    page.mouse.up()


def inputs(page: Page) -> list[str]:
    """Return the ``-i`` of the cell's first line, as the magic reads them."""
    words = shlex.split(page.locator(".jp-Notebook .cm-line").first.inner_text())
    return [words[at + 1] for at, word in enumerate(words) if word == "-i"]


def test_a_shared_file_is_found_and_dragged_into_a_cell(page: Page, shared: Path, shot: Shot) -> None:
    tree = browse(page, shared)
    expect(entry(tree, "scratch")).to_contain_text("writable")
    expect(entry(tree, "sales")).not_to_contain_text("writable")
    entry(tree, "sales").click()
    north = entry(tree, "north.csv")
    expect(north).to_contain_text("2.0 kB")
    expect(north).to_have_attribute("aria-level", "4")
    line = page.locator(".jp-Notebook .cm-line").first
    expect(line).to_contain_text("%%bacalhau sh")
    drag(page, north, line)
    expect(line).to_contain_text("-i")
    shot("data")
    [input_line] = inputs(page)
    source = parse_input(input_line)
    assert source.source.params == {"SourcePath": str(shared / "sales" / "north.csv")}
    assert source.target == "/inputs/north.csv"


def test_what_is_dropped_on_the_body_goes_to_the_first_line_and_the_cell_has_the_focus(
    page: Page, shared: Path
) -> None:
    tree = browse(page, shared)
    entry(tree, "sales").click()
    lines = page.locator(".jp-Notebook .cm-line")
    expect(lines.nth(1)).to_have_text("ls")
    drag(page, entry(tree, "north.csv"), lines.nth(1))
    expect(lines.first).to_contain_text("%%bacalhau sh -i")
    expect(lines.nth(1)).to_have_text("ls")
    expect(page.locator(".jp-Notebook .jp-Cell .cm-content").first).to_be_focused()


def go_down_to(page: Page, tree: Locator, name: str) -> None:
    """Press the arrow key until an entry has the focus."""
    focused = tree.locator(":focus")
    while name not in (before := focused.text_content() or ""):
        page.keyboard.press("ArrowDown")
        expect(focused).not_to_have_text(before)


def test_the_keyboard_alone_browses_and_inserts_even_odd_names(page: Page, shared: Path) -> None:
    line = page.locator(".jp-Notebook .cm-line").first
    line.click()
    page.keyboard.press("End")
    tree = open_tab(page, "Data").get_by_role("tree")
    expect(tree.get_by_role("treeitem", name="Local paths")).to_be_visible()
    page.keyboard.press("Tab")  # the address
    page.keyboard.press("Tab")  # read again
    page.keyboard.press("Tab")
    expect(tree.get_by_role("treeitem", name="Local paths")).to_be_focused()
    root = tree.get_by_role("treeitem").filter(has_text=str(shared)).first
    page.keyboard.press("ArrowRight")
    expect(root).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(root).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(entry(tree, "sales")).to_be_visible()
    go_down_to(page, tree, "sales")
    page.keyboard.press("ArrowRight")
    expect(entry(tree, ODD)).to_be_visible()
    go_down_to(page, tree, ODD)
    page.keyboard.press("Enter")
    expect(line).to_contain_text("-i")
    [input_line] = inputs(page)
    assert parse_input(input_line).source.params == {"SourcePath": str(shared / "sales" / ODD)}
    # Whoever inserts an input goes on in the cell.
    expect(page.locator(".jp-Notebook .jp-Cell .cm-content").first).to_be_focused()
    # Back at the directory: insert it from the bar below the tree.
    tree.locator("[tabindex='0']").first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="The chosen data as an input")).to_contain_text("Inserted")
    assert len(inputs(page)) == 2
    assert parse_input(inputs(page)[1]).source.params == {"SourcePath": str(shared / "sales")}


def test_long_lists_come_page_by_page_and_a_refusal_is_reported_in_place(
    page: Page, shared: Path, shot: Shot
) -> None:
    tree = browse(page, shared)
    entry(tree, "many").click()
    expect(entry(tree, "0000.txt")).to_be_visible()
    assert entry(tree, f"{MANY - 1:04d}.txt").count() == 0
    more = tree.get_by_role("treeitem", name="More…")
    more.click()
    expect(entry(tree, f"{MANY - 1:04d}.txt")).to_be_attached()
    expect(more).to_have_count(0)
    entry(tree, "many").click()
    panel = page.locator("#bacalhau-panel")
    panel.get_by_role("textbox", name="Go to an address").fill(f"file://{shared.parent}/secret")
    page.keyboard.press("Enter")
    expect(tree.get_by_role("alert")).to_contain_text("does not share")
    shot("data-refused")

"""What a job's files look like under a cell, hostile ones among them."""

from __future__ import annotations

import base64
import html.parser
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.notebook.ansi import ansi_to_html
from bacalhau_jupyter.notebook.preview import FETCH_BYTES, IMAGE_BYTES, TABLE_HTML_BYTES, preview, table_html

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>x</a>"


class Tags(html.parser.HTMLParser):
    """Collects what a browser would take for markup, in the notebook's own page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def harmless(page: str) -> Tags:
    """See that nothing in a page runs, and return its tags."""
    tags = Tags(page)
    for tag, attributes in tags.elements:
        assert tag not in ("script", "object", "embed", "form", "svg", "link", "meta", "base", "style"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/").startswith("data:image/"), attributes
        if tag == "iframe":
            assert attributes["sandbox"] == "", "an empty list allows nothing"
    return tags


def shown(directory: Path, files: dict[str, bytes]) -> dict[str, str]:
    fetched = []
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)

    def fetch(name: str) -> Path:
        fetched.append(name)
        return directory / name

    bundle = preview({name: len(data) for name, data in files.items()}, fetch)
    assert sum(len(files[name]) for name in fetched) <= FETCH_BYTES
    return bundle


def test_a_table_shows_its_head_with_an_honest_count(tmp_path: Path) -> None:
    out = io.BytesIO()
    pd.DataFrame({"n": range(1_200_000)}).to_parquet(out)
    page = shown(tmp_path, {"outputs/a.parquet": out.getvalue(), "outputs/b.csv": b"x\n1\n"})["text/html"]
    harmless(page)
    assert "showing 200 of 1.2 M rows" in page
    assert page.count("<tr") < 210
    assert "result.df() returns all" in page
    assert "2 files" in page
    small = shown(tmp_path, {"outputs/t.csv": b"a,b\n1,2\n"})["text/html"]
    assert "showing" not in small


def test_a_wide_or_bulky_table_does_not_blow_the_notebook_up() -> None:
    frame = pd.DataFrame({f"c{n}": ["x" * 5000] * 200 for n in range(300)})
    page = table_html(frame, 10_000)
    assert len(page) < 2 * TABLE_HTML_BYTES
    assert "showing 40 of 300 columns" in page
    assert "of 10,000 rows" in page


@pytest.mark.parametrize(
    "frame", [pd.DataFrame({"x" * 1_000_000: [1]}), pd.DataFrame({"n": [1]}, ["x" * 1_000_000])]
)
def test_names_of_columns_and_rows_do_not_blow_the_notebook_up(frame: pd.DataFrame) -> None:
    assert len(frame.to_html()) > 1_000_000
    assert "too long to be shown" in table_html(frame, 1) and len(table_html(frame, 1)) < 1000


def test_hostile_cells_column_names_and_file_names_are_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({EVIL: [EVIL]})
    page = shown(tmp_path, {f"outputs/{EVIL.replace('/', '_')}.csv": frame.to_csv(index=False).encode()})
    harmless(page["text/html"])
    page = shown(tmp_path, {f"outputs/{EVIL.replace('/', '_')}": b"\x00", "outputs/b": b"\x00"})
    harmless(page["text/html"])


def test_one_picture_is_the_picture_and_several_are_figures(tmp_path: Path) -> None:
    bundle = shown(tmp_path, {"outputs/a.png": PNG})
    assert base64.b64decode(bundle["image/png"]) == PNG
    page = shown(tmp_path, {f"outputs/{n:02}.png": PNG for n in range(20)})["text/html"]
    tags = harmless(page)
    assert sum(tag == "img" for tag, _ in tags.elements) == 12
    assert "8 more not shown here" in page
    assert "result.image('outputs/12.png')" in page.replace("&#x27;", "'")


def test_pictures_that_are_too_large_are_named_instead(tmp_path: Path) -> None:
    page = shown(tmp_path, {"outputs/big.png": PNG + bytes(IMAGE_BYTES)})["text/html"]
    assert "<img" not in page
    assert "result.image(" in page
    assert "700 kB" in page


def test_an_svg_is_an_image_in_which_nothing_runs(tmp_path: Path) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">{EVIL}</svg>'.encode()
    bundle = shown(tmp_path, {"outputs/x.svg": svg})
    assert "image/svg+xml" not in bundle
    ((_, image),) = [item for item in harmless(bundle["text/html"]).elements if item[0] == "img"]
    assert (image["src"] or "").startswith("data:image/svg+xml;base64,")


def test_a_png_that_is_html_is_not_shown_as_a_picture(tmp_path: Path) -> None:
    page = shown(tmp_path, {"outputs/x.png": EVIL.encode()})["text/html"]
    assert "<img" not in page
    harmless(page)


def test_html_is_shown_in_a_frame_without_scripts_origin_and_network(tmp_path: Path) -> None:
    hostile = f'"><script>parent.alert(1)</script></iframe>{EVIL}<base href="https://evil.example/">'
    page = shown(tmp_path, {"outputs/x.html": hostile.encode()})["text/html"]
    ((_, frame),) = [item for item in harmless(page).elements if item[0] == "iframe"]
    inside = frame["srcdoc"] or ""
    assert inside.startswith('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'')
    # What could act or load is not even there; the address of a link is what a person can still read.
    assert inside.endswith('">"&gt;<img><a title="javascript:alert(3)">x</a>')
    large = shown(tmp_path, {"outputs/x.html": b"x" * 400_000})["text/html"]
    assert "too large to be shown" in large
    assert len(large) < 1000


def test_text_is_escaped_cut_and_keeps_its_colours(tmp_path: Path) -> None:
    text = f"\x1b[31mred\x1b[0m {EVIL}\n\x1b]0;title\x07" + "x" * 30_000
    page = shown(tmp_path, {"outputs/log.txt": text.encode()})["text/html"]
    harmless(page)
    assert '<span style="color:#c33">red</span>' in page
    assert "\x1b" not in page
    assert "title" not in page
    assert "showing 20 kB of 30" in page
    assert "result.text(" in page


def test_other_files_are_a_tree_with_sizes(tmp_path: Path) -> None:
    page = shown(tmp_path, {"outputs/d/e/model.bin": bytes(2_500_000), "outputs/d/x.dat": bytes(10)})[
        "text/html"
    ]
    harmless(page)
    assert "<details open>" in page
    assert "2.5 MB" in page
    assert "outputs/d/e/" in page
    many = shown(tmp_path, {f"outputs/{n}.bin": b"\x00" for n in range(150)})["text/html"]
    assert "and 50 more" in many


def test_what_is_large_is_not_fetched(tmp_path: Path) -> None:
    def fetch(name: str) -> Path:
        raise AssertionError(f"{name} was fetched")

    page = preview({"outputs/huge.parquet": FETCH_BYTES + 1, "outputs/y.png": 10**9}, fetch)["text/html"]
    assert "result.df(" in page
    assert "1.0 GB" in page


def test_no_files_are_nothing(tmp_path: Path) -> None:
    assert shown(tmp_path, {}) == {}
    assert "empty.csv" in shown(tmp_path, {"outputs/empty.csv": b""})["text/html"]


@given(st.text(max_size=200) | st.text(alphabet="\x1b[];m0139\r\n<>&\"'\x07ab", max_size=200))
def test_no_text_becomes_markup(text: str) -> None:
    page = ansi_to_html(text)
    tags = Tags(page).elements
    assert all(tag == "span" and set(attributes) == {"style"} for tag, attributes in tags)
    assert "\x1b" not in page


def test_a_progress_bar_shows_its_last_state() -> None:
    assert ansi_to_html("10 %\r50 %\r100 %\ndone\r\n") == "100 %\ndone\n"
    assert ansi_to_html("\x1b[1;32mok\x1b[22m then\x1b[39m.") == (
        '<span style="font-weight:bold;color:#2a2">ok</span><span style="color:#2a2"> then</span>.'
    )


@pytest.mark.parametrize("broken", [b"PAR1broken", b"\x1f\x8bgarbage", b"[1, 2, 3]"])
def test_a_broken_table_is_a_file_like_others(tmp_path: Path, broken: bytes) -> None:
    page = shown(tmp_path, {"outputs/x.parquet": broken, "outputs/y.bin": b"\x00"})["text/html"]
    assert "x.parquet" in page
    harmless(page)

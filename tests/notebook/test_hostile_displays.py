"""A job's displays are hostile: what is no display, what may not be shown, and how much of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.jobs.watch import Output
from bacalhau_jupyter.models.records.displays import START
from bacalhau_jupyter.notebook.displays.allowed import HTML_BYTES, IMAGE_BYTES, TEXT_CHARACTERS, allowed
from bacalhau_jupyter.notebook.displays.frames import Display, DisplayReader
from bacalhau_jupyter.notebook.displays.pane import DISPLAYS, TEXT_BYTES, DisplayPane
from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.bodies import items_of, run

NONCE = "ab" * 16
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
HELLO = f"{START}hello;{NONCE}\x1b\\"


def frame(data: dict[str, Any], *, nonce: str = NONCE, number: str = "1.0", **more: Any) -> str:
    """Return a display as a runner would write it."""
    payload = json.dumps({"data": data, "metadata": {}, "id": "a", "update": False, **more}).encode()
    return f"{START}{nonce};{number};1;{base64.b64encode(payload).decode()}\x1b\\\n"


def displays_of(log: str) -> list[Display]:
    """Return the displays in a log."""
    return [item for item in items_of(log) if isinstance(item, Display)]


class Notebook:
    """Remembers what would be in the notebook."""

    def __init__(self, *, has_runner: bool = True) -> None:
        self.texts: list[str] = []
        self.outputs: dict[str, dict[str, Any]] = {}
        self.updates = 0
        self.now = 0.0
        self.pane = DisplayPane(self, self.show, lambda: has_runner, clock=lambda: self.now)

    def write(self, stream: int, text: str) -> None:
        """Take a text."""
        self.texts.append(text)

    def show(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str, update: bool) -> None:
        """Take a display."""
        self.updates += update
        self.outputs[display_id] = data

    def read(self, log: str, execution: str = "e-1") -> None:
        """Read a log."""
        self.pane.write(Output(1, log, execution))


def test_a_frame_of_the_runner_is_a_display_which_is_what_the_attacks_below_imitate() -> None:
    assert [item.data for item in displays_of(HELLO + frame({"text/plain": "x"}))] == [{"text/plain": "x"}]


@pytest.mark.parametrize(
    "log",
    [
        "text" + HELLO + frame({"text/plain": "x"}),
        HELLO + frame({"text/plain": "x"}, nonce="cd" * 16),
        HELLO + frame({"text/plain": "x"}, nonce=""),
        frame({"text/plain": "x"}),
        f"{START}hello;{NONCE[:-1]}\x1b\\" + frame({"text/plain": "x"}),
        HELLO + f"{START}{NONCE};1.0;1;not base64!\x1b\\\n",
        HELLO + f"{START}{NONCE};1.0;1;{base64.b64encode(b'[1]').decode()}\x1b\\\n",
        HELLO + f"{START}{NONCE};1.0;1;{base64.b64encode(b'[' * 100_000).decode()[:3000]}\x1b\\\n",
        HELLO + f"{START}{NONCE};1.0;1;" + "A" * 5000 + "\x1b\\\n",
    ],
    ids=["late", "wrong", "empty", "none", "short", "no base64", "no mapping", "cut", "long"],
)
def test_what_is_no_frame_of_the_execution_is_no_display(log: str) -> None:
    assert displays_of(log) == []


def test_a_second_announcement_changes_nothing() -> None:
    log = f"{HELLO}{START}hello;{'cd' * 16}\x1b\\" + frame({"text/plain": "x"}, nonce="cd" * 16)
    assert displays_of(log) == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50, 4096])
def test_text_and_displays_are_the_same_wherever_chunks_are_cut(chunk: int) -> None:
    fake = frame({"text/plain": "x"}, nonce="cd" * 16)
    log = f"{HELLO}one\x1b[31m{frame({'text/plain': '1'})}two{fake}\x1b"
    items = items_of(log, chunk=chunk)
    assert "".join(item for item in items if isinstance(item, str)) == f"one\x1b[31mtwo{fake}\x1b"
    assert sum(isinstance(item, Display) for item in items) == 1


def test_other_jobs_show_nothing_whatever_their_output_begins_with() -> None:
    notebook = Notebook(has_runner=False)
    notebook.read(HELLO + frame({"text/plain": "x"}))
    assert notebook.outputs == {}
    assert "".join(notebook.texts) == HELLO + frame({"text/plain": "x"})


def test_the_nonce_of_one_execution_is_none_of_another() -> None:
    notebook = Notebook()
    notebook.read(HELLO, "e-1")
    notebook.read(f"{START}hello;{'cd' * 16}\x1b\\" + frame({"text/plain": "x"}), "e-2")
    assert notebook.outputs == {}


FORGER = """
import base64, glob, json, os, sys
text = json.dumps({"data": {"text/plain": "FORGED"}, "metadata": {}, "id": "a", "update": False}).encode()
known = {os.environ.get("BACALHAU_EXECUTION_ID", "x" * 32), "ab" * 16}
for name in glob.glob("inputs/.bacalhau/**/*", recursive=True):
    if os.path.isfile(name):
        known |= set(__import__("re").findall("[0-9a-f]{32}", open(name).read()))
known |= {value for value in os.environ.values() if len(value) == 32}
for nonce in known:
    print(f"\\x1b_bacalhau;hello;{nonce}\\x1b\\\\", end="")
    print(f"\\x1b_bacalhau;{nonce};9.9;0;{base64.b64encode(text).decode()}\\x1b\\\\")
"""


def test_a_program_that_the_body_runs_can_not_forge_a_display(tmp_path: Path) -> None:
    (tmp_path / "forge.py").write_text(FORGER)
    done = run(
        tmp_path, "import subprocess, sys\nsubprocess.run([sys.executable, 'forge.py'])\ndisplay('own')"
    )
    assert "FORGED" not in str(done.displays)
    assert done.texts == ["'own'"]
    # The control: with the nonce it would be one.
    nonce = done.log.split(";", 2)[2][:32]
    forged = frame({"text/plain": "FORGED"}, nonce=nonce)
    assert any(item.data == {"text/plain": "FORGED"} for item in displays_of(done.log + forged))


@pytest.mark.parametrize(
    "kind",
    [
        "application/javascript",
        "text/javascript",
        "application/x-javascript",
        "application/vnd.jupyter.widget-view+json",
        "application/vnd.jupyter.widget-state+json",
        MIME,
        "application/vnd.bacalhau.x+json",
        "application/vnd.jupyterlab-open.link",
        "application/pdf",
        "application/vnd.bokehjs_exec.v0+json",
        "application/vnd.holoviews_exec.v0+json",
        "text/latex",
        "video/mp4",
        "text/HTML",
        "application/geo+json",
    ],
)
def test_a_type_that_is_not_on_the_list_is_not_passed_on(kind: str) -> None:
    shown = allowed({kind: "alert(1)"}, {})
    assert list(shown.data) == ["text/plain"]
    assert "alert" not in shown.data["text/plain"]
    assert kind in shown.data["text/plain"]
    assert allowed({kind: {"a": 1}, "text/plain": "p"}, {kind: {"x": 1}}).data == {"text/plain": "p"}


def test_html_and_markdown_stand_in_a_frame_without_powers() -> None:
    for kind in ("text/html", "text/markdown"):
        page = allowed({kind: "<script>alert(1)</script><b>x</b>"}, {}).data["text/html"]
        assert page.startswith('<iframe sandbox="" ')
        assert page.count("<") == 2
        assert "default-src &#x27;none&#x27;" in page


def test_svg_is_an_image() -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
    page = allowed({"image/svg+xml": svg}, {}).data["text/html"]
    assert page.startswith('<img src="data:image/svg+xml;base64,')
    assert "alert" not in page


def test_an_image_is_what_it_says_it_is() -> None:
    assert allowed({"image/png": PNG}, {}).data["image/png"] == PNG
    assert allowed({"image/png": PNG[:40] + "\n" + PNG[40:]}, {}).data["image/png"] == PNG
    for data in ("<svg onload=alert(1)>", base64.b64encode(b"<svg>").decode(), "%%%", ["x"], {"a": 1}, ""):
        assert "image/png" not in allowed({"image/png": data}, {}).data
    assert "image/jpeg" not in allowed({"image/jpeg": PNG}, {}).data


def test_of_metadata_only_an_image_s_size_is_kept() -> None:
    about = {"image/png": {"width": 10, "height": "1;url(x)", "unconfined": True}, "isolated": True}
    assert allowed({"image/png": PNG}, about).metadata == {"image/png": {"width": 10}}
    assert allowed({"image/png": PNG}, {"image/png": {"width": 10**9, "height": True}}).metadata == {}


def test_json_without_numbers_that_json_lacks_and_not_too_deep() -> None:
    tree = json.loads('{"a": [NaN, Infinity, 1.5]}')
    assert allowed({"application/json": tree}, {}).data["application/json"] == {"a": ["nan", "inf", 1.5]}
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert "application/json" not in allowed({"application/json": deep}, {}).data


def button(method: str, arguments: list[Any]) -> dict[str, Any]:
    """Return a figure with a button that changes it."""
    buttons = [{"method": method, "args": arguments}]
    return {"data": [], "layout": {"updatemenus": [{"buttons": buttons}]}}


VEGA, LITE, PLOTLY = (
    "application/vnd.vega.v5+json",
    "application/vnd.vegalite.v5+json",
    "application/vnd.plotly.v1+json",
)


@pytest.mark.parametrize(
    "spec",
    [
        {
            "mark": {"type": "bar", "cursor": "pointer"},
            "encoding": {"tooltip": [{"field": "a", "title": "A"}]},
        },
        {"mark": "bar", "transform": [{"pivot": "a", "value": "b"}], "data": {"values": [{"a": "image"}]}},
        {"mark": {"type": "bar", "tooltip": True}, "data": {"values": [{"kind": "image", "n": 1}]}},
    ],
)
def test_tooltips_and_cursors_of_honest_charts_are_shown(spec: dict[str, Any]) -> None:
    assert allowed({LITE: spec, "text/plain": "chart"}, {}).data[LITE] == spec


@pytest.mark.parametrize(
    "bind",
    ["scales", {"input": "range", "min": 0, "max": 9, "step": 1}, {"a": {"input": "select", "options": [1]}}],
)
def test_inputs_of_honest_charts_are_shown(bind: Any) -> None:
    spec = {"mark": "bar", "params": [{"name": "p", "bind": bind}]}
    assert allowed({LITE: spec, "text/plain": "chart"}, {}).data[LITE] == spec


def test_charts_of_data_are_shown() -> None:
    spec = {"mark": "bar", "data": {"values": [{"a": 1}]}, "usermeta": {"embedOptions": {"loader": 1}}}
    assert allowed({LITE: spec}, {}).data[LITE] == {"mark": "bar", "data": {"values": [{"a": 1}]}}
    trace = {"type": "scatter", "y": [1, 2], "text": ["km/h", "1/2"], "name": "a/b", "marker": {"size": 3}}
    defaults = {"data": {"choropleth": [{"type": "choropleth"}]}, "layout": {"geo": {"bgcolor": "white"}}}
    layout = {"title": {"text": "<b>x</b> a < b"}, "template": defaults, **play()}
    figure = {"data": [trace], "layout": layout, "config": {"plotlyServerURL": "x"}}
    assert allowed({PLOTLY: figure}, {}).data[PLOTLY] == {"data": [trace], "layout": layout}


def play() -> dict[str, Any]:
    """Return the button that plays an animation."""
    return button("animate", [None, {"frame": {"duration": 500, "redraw": False}}])["layout"]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (LITE, {"data": {"url": "/api/contents/secret"}, "mark": "bar"}),
        (LITE, {"mark": {"type": "image"}, "encoding": {}}),
        (LITE, {"mark": "image"}),
        (LITE, {"mark": "bar", "encoding": {"href": {"field": "x"}}}),
        (VEGA, {"marks": [{"type": "image", "encode": {"enter": {"URL": {"signal": "x"}}}}]}),
        (VEGA, {"data": [{"name": "a", "transform": [{"type": "lookup", "from": {"url": "x"}}]}]}),
        (PLOTLY, {"data": [], "layout": {"images": [{"source": "https://example.com/x.png"}]}}),
        (PLOTLY, {"data": [], "layout": {"images": [{"source": "\\\\evil.example\\x"}]}}),
        (PLOTLY, {"data": [{"type": "choropleth", "geojson": "/api/contents/secret"}]}),
        (PLOTLY, {"data": [], "layout": {"mapbox": {"style": "https://example.com/style.json"}}}),
        (PLOTLY, {"data": [], "layout": {"title": {"text": "<a href='javascript:alert(1)'>x</a>"}}}),
        (VEGA, {"signals": [{"name": "s", "bind": {"element": "#token", "event": "input"}}]}),
        (LITE, {"mark": {"type": "bar", "tooltip": True}, "data": {"values": [{"image": "//x/y"}]}}),
        (PLOTLY, {"data": [{"geojson": {"type": "x"}, "texttemplate": "<img src=x>"}]}),
        (PLOTLY, {"data": [{"type": "bar", "text": ["a", "<a href='//x'>b</a>"]}]}),
        (PLOTLY, {"data": [], "layout": {"mapbox": {"layers": [{"source": {"tiles": ["//x/{z}"]}}]}}}),
        (PLOTLY, button("relayout", [{"images[0].source": "https://example.com"}])),
        (PLOTLY, button("restyle", ["geojson", "https://example.com"])),
        (PLOTLY, button("restyle", [["x", ["/api/contents/secret"]]])),
        (PLOTLY, {"data": [{"type": "scattergeo", "lat": [1], "lon": [2]}]}),
        (PLOTLY, {"data": [], "frames": [{"data": [{"type": "choroplethmap"}]}]}),
        (PLOTLY, button("restyle", ["type", "choropleth"])),
        (PLOTLY, {"data": [], "layout": {"font": {"family": "x; background: url(//evil.example/f)"}}}),
        (
            PLOTLY,
            {"data": [], "layout": {"title": {"text": "<span style='fill:url(//evil.example)'>x</span>"}}},
        ),
        (PLOTLY, {"data": [], "layout": {"title": {"text": "<span style='mask:\\75 rl(//evil.example)'>x"}}}),
        (PLOTLY, {"data": [], "layout": {"title": {"text": "&lt;a href='//evil.example'&gt;x&lt;/a&gt;"}}}),
        (
            PLOTLY,
            {"data": [], "layout": {"title": {"text": "<b style='mask:image-set(\"//evil.example\" 1x)'>x"}}},
        ),
        (PLOTLY, [1]),
        (VEGA, "text"),
        (LITE, {"mark": {"type": "bar", "cursor": "url(https://evil.example/a), auto"}}),
        (VEGA, {"marks": [{"encode": {"update": {"cursor": {"signal": "'ur' + 'l(//evil.example)'"}}}}]}),
        (VEGA, {"signals": [{"name": "cursor", "update": "'ur' + 'l(//evil.example)'"}]}),
        (VEGA, {"background": "URL (//evil.example/a)"}),
        (VEGA, {"background": "\\000075rl(//evil.example/a)"}),
        (VEGA, {"signals": [{"name": "s", "bind": {"input": "text", "onfocus": "x()", "autofocus": ""}}]}),
        (
            LITE,
            {
                "params": [
                    {"name": "s", "bind": {"input": "text", "style": "background:ur\\l(//evil.example)"}}
                ]
            },
        ),
        (LITE, {"params": [{"name": "s", "bind": {"a": {"type": "image", "onerror": "x()"}}}]}),
        (VEGA, {"signals": [{"name": "s", "bind": {"onfocus": "x()"}}]}),
        (
            LITE,
            {
                "mark": {"tooltip": {"content": "data"}},
                "data": {"values": "//a", "format": {"header": ["image"]}},
            },
        ),
        (
            LITE,
            {
                "mark": {"type": "bar", "tooltip": {"content": "data"}},
                "data": {"values": [{"image": "\\\\evil.example\\a"}]},
            },
        ),
        (
            LITE,
            {
                "mark": {"type": "bar", "tooltip": True},
                "transform": [{"calculate": "'ht' + 'tp:'", "as": "image"}],
            },
        ),
        (LITE, {"encoding": {"tooltip": [{"field": "a", "title": "image"}]}}),
        (LITE, {"encoding": {"tooltip": {"value": {"expr": "{'image': 'ht' + 'tp:'}"}}}}),
        (VEGA, {"marks": [{"encode": {"update": {"tooltip": {"signal": "{'im\\x61ge': datum.a}"}}}}]}),
        (
            LITE,
            {
                "mark": {"type": "bar", "tooltip": {"content": "data"}},
                "transform": [{"pivot": "a", "value": "b"}],
            },
        ),
        (
            LITE,
            {
                "mark": {"type": "bar", "tooltip": {"content": "data"}},
                "data": {"values": "image,a\n//evil.example,1"},
            },
        ),
    ],
)
def test_a_chart_that_would_reach_out_is_not_shown(kind: str, spec: Any) -> None:
    shown = allowed({kind: spec, "text/plain": "chart"}, {})
    assert shown.data.keys() == {"text/plain"}
    assert shown.data["text/plain"].startswith("chart\n[a chart that could load")


def test_what_is_too_large_becomes_a_note() -> None:
    shown = allowed({"text/html": "x" * (HTML_BYTES + 1), "text/plain": "short"}, {})
    assert "text/html" not in shown.data
    assert shown.data["text/plain"].startswith("short\n[")
    assert len(allowed({"text/plain": "x" * 10**7}, {}).data["text/plain"]) < TEXT_CHARACTERS + 200
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(IMAGE_BYTES)).decode()
    assert "too large" in allowed({"image/png": image}, {}).data["text/plain"]


def test_all_displays_together_keep_to_the_notebook_s_limits() -> None:
    notebook = Notebook()
    notebook.read(HELLO)
    for number in range(50):
        notebook.read(frame({"text/plain": "x" * 50_000}, id=f"t{number}") if number < 1 else "")
        notebook.read(big(number))
    held = sum(len(json.dumps(data)) for data in notebook.outputs.values())
    assert held <= TEXT_BYTES + 60_000
    assert sum("the rest is left out" in text for text in notebook.texts) == 1


def big(number: int) -> str:
    """Return a display of 50 kB, in several frames."""
    payload = json.dumps({"data": {"text/plain": "y" * 50_000}, "id": f"n{number}", "update": False}).encode()
    data = base64.b64encode(payload).decode()
    pieces = [data[start : start + 3600] for start in range(0, len(data), 3600)]
    return "".join(
        f"{START}{NONCE};2.{number};{'+' if index < len(pieces) - 1 else 0};{piece}\x1b\\"
        for index, piece in enumerate(pieces)
    )


def test_an_update_takes_the_place_of_the_former_and_of_no_other_output() -> None:
    notebook = Notebook()
    notebook.read(HELLO + frame({"text/plain": "1"}, id="bacalhau-j-1"))
    for number in range(3 * DISPLAYS):
        notebook.read(frame({"text/plain": str(number)}, id="bacalhau-j-1", update=True))
    notebook.pane.finish()
    assert [data["text/plain"] for data in notebook.outputs.values()] == [str(3 * DISPLAYS - 1)]
    assert "bacalhau-j-1" not in next(iter(notebook.outputs))


def test_updates_come_only_as_often_as_one_can_see_them() -> None:
    notebook = Notebook()
    notebook.read(HELLO + frame({"text/plain": "first"}))
    for number in range(1000):
        notebook.now += 0.001
        notebook.read(frame({"text/plain": str(number)}, update=True))
    assert 5 <= notebook.updates <= 10
    notebook.now += 1
    notebook.pane.tick()
    assert [data["text/plain"] for data in notebook.outputs.values()] == ["999"]


def test_displays_whose_end_never_comes_do_not_fill_the_memory() -> None:
    reader = DisplayReader(lambda: True)
    reader.feed(HELLO)
    piece = "A" * 3600
    for number in range(10_000):
        reader.feed(f"{START}{NONCE};1.{number};+;{piece}\x1b\\")
    held = sum(len(value) for value in reader._parts.values())
    assert held < 25_000_000

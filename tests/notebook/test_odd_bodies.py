"""Bodies that close, redirect, fork, flood and lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bacalhau_jupyter.notebook.displays.allowed import allowed
from bacalhau_jupyter.notebook.displays.frames import Display
from tests.notebook.bodies import run


@pytest.mark.parametrize(
    "close",
    [
        "sys.stdout.close()",
        "os.close(1)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "sys.stdout = None",
        "sys.stdout = io.StringIO()",
    ],
)
def test_a_body_that_closes_or_redirects_stdout_still_displays(tmp_path: Path, close: str) -> None:
    done = run(tmp_path, f"import io, os, sys\n{close}\ndisplay(1)\nx = 2\nx", output_names=["x"])
    assert (done.returncode, done.texts, done.stderr) == (0, ["1", "2"], "")
    assert (tmp_path / "outputs/.bacalhau/x.json").read_text() == "2"


def test_what_was_shown_before_a_sudden_end_is_there(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\nprint('text')\ndisplay(1)\nos._exit(7)")
    assert (done.returncode, done.texts, done.stdout) == (7, ["1"], "text\n1\n")


def test_displays_of_many_threads_among_their_text_come_whole(tmp_path: Path) -> None:
    body = (
        "import os, threading\n"
        "def work(number):\n"
        "    for _ in range(5):\n"
        "        os.write(1, b'#' * 3000 + b'\\n')\n"
        "        display({'number': number, 'long': 'x' * 9000})\n"
        "threads = [threading.Thread(target=work, args=(i,)) for i in range(100)]\n"
        "[t.start() for t in threads]\n[t.join() for t in threads];"
    )
    done = run(tmp_path, body)
    assert done.returncode == 0, done.stderr
    assert len(done.displays) == 500
    texts = "".join(item for item in done.items if isinstance(item, str))
    assert texts == ("#" * 3000 + "\n") * 500


def test_forked_processes_display_and_spawned_ones_print(tmp_path: Path) -> None:
    body = (
        "import multiprocessing as mp\n"
        "def work(n):\n    display(n)\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn'):\n"
        "        process = mp.get_context(method).Process(target=work, args=(method,))\n"
        "        process.start()\n        process.join()"
    )
    done = run(tmp_path, body)
    assert done.texts == ["'fork'"], done.stderr
    assert "'spawn'\n" in done.items


def test_a_form_whose_method_raises_leaves_the_others(tmp_path: Path) -> None:
    body = (
        "class Odd:\n"
        "    def _repr_html_(self): raise ValueError('no html')\n"
        "    def _repr_markdown_(self): return '# m'\n"
        "    def __repr__(self): raise ValueError('no repr')\n"
        "display(Odd())\nprint('on')"
    )
    done = run(tmp_path, body)
    assert done.returncode == 0
    assert done.displays[0]["text/markdown"] == "# m"
    assert "ValueError: no html" in done.stderr
    assert done.stdout.endswith("on\n")


def test_objects_that_answer_to_any_name_are_shown_as_text(tmp_path: Path) -> None:
    done = run(tmp_path, "from unittest.mock import MagicMock\ndisplay(MagicMock(name='m'), MagicMock)")
    assert [list(data) for data in done.displays] == [["text/plain"]] * 2


def test_a_widget_is_shown_as_text(tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    done = run(tmp_path, "import ipywidgets\nipywidgets.IntSlider(value=3)")
    assert done.returncode == 0, done.stderr
    (data,) = done.displays
    assert allowed(data, {}).data == {"text/plain": data["text/plain"]}
    assert "IntSlider(value=3" in data["text/plain"]


def test_json_that_is_none_is_left_out(tmp_path: Path) -> None:
    body = (
        "loop = []\nloop.append(loop)\n"
        "display({'application/json': loop, 'text/plain': 'loop'}, raw=True)\n"
        "display({'application/json': {'n': float('nan'), 's': {1}}, 'text/plain': 'nan'}, raw=True)"
    )
    looped, odd = run(tmp_path, body).displays
    assert looped == {"text/plain": "loop"}
    assert (
        json.dumps(allowed(odd, {}).data["application/json"], allow_nan=False) == '{"n": "nan", "s": "{1}"}'
    )


def test_a_display_of_50_mb_becomes_a_file_and_a_line(tmp_path: Path) -> None:
    body = (
        "class Page:\n    def _repr_html_(self): return 'x' * 50_000_000\n"
        "    def __repr__(self): return '<a page>'\n"
        "Page()"
    )
    done = run(tmp_path, body)
    assert done.texts == [
        "<a page>\n[50.0 MB of text/html: too large to be shown; it is in outputs/display-1.html]"
    ]
    assert (tmp_path / "outputs/display-1.html").stat().st_size == 50_000_000
    assert len(done.log) < 2000


def test_all_displays_together_do_not_flood_the_log(tmp_path: Path) -> None:
    body = "for _ in range(30):\n    display({'text/plain': 'x' * 3_000_000}, raw=True)"
    done = run(tmp_path, body)
    assert len(done.log) < 100_000_000
    assert len(list((tmp_path / "outputs").glob("display-*.txt"))) >= 5


def test_a_long_container_is_cut(tmp_path: Path) -> None:
    (text,) = run(tmp_path, "list(range(10**6))").texts
    assert len(text) < 10_000
    assert text.endswith("… and 999,000 more")


def test_a_progress_display_and_clear_output_update_in_place(tmp_path: Path) -> None:
    body = (
        "from IPython.display import clear_output\n"
        "handle = display(0, display_id=True)\nhandle.update(1)\n"
        "for n in range(3):\n    clear_output(wait=True)\n    display('plot', n)\n"
    )
    done = run(tmp_path, body)
    shown = [item for item in done.items if isinstance(item, Display)]
    final: dict[str, str] = {}
    for item in shown:
        assert item.is_update == (item.name in final)
        final[item.name] = item.data["text/plain"]
    assert list(final.values()) == ["1", "'plot'", "2"]


def test_matplotlib_finds_the_machine_s_list_of_fonts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "fontlist-v390.json").write_text("{}")
    monkeypatch.setenv("MPLCONFIGDIR", str(cache))
    (tmp_path / "matplotlib.py").write_text("")
    body = (
        "import os\nassert 'MPLCONFIGDIR' not in os.environ\nimport matplotlib\n"
        "place = os.environ['MPLCONFIGDIR']\nopen(place + '/more', 'w').close()\nsorted(os.listdir(place))"
    )
    done = run(tmp_path, body, without=["MPLCONFIGDIR"])
    assert done.texts == ["['fontlist-v390.json', 'more']"], done.stderr
    assert not list((tmp_path / "inputs/.bacalhau").glob("fonts/*more"))


@pytest.mark.parametrize(
    ("library", "body", "kind"),
    [
        (
            "altair",
            "import altair as alt\nalt.Chart(alt.InlineData([{'a': 1}])).mark_bar()",
            "vnd.vegalite.v5+json",
        ),
        ("plotly", "import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1, 2])).show()", "vnd.plotly.v1"),
    ],
)
def test_charts_of_libraries_come_as_data(tmp_path: Path, library: str, body: str, kind: str) -> None:
    pytest.importorskip(library)
    (data,) = run(tmp_path, body).displays
    shown = allowed(data, {}).data
    assert next(iter(shown)).startswith(f"application/{kind}")
    assert shown["text/plain"]


def test_standins_of_ipython_are_there_where_it_is_missing(tmp_path: Path) -> None:
    body = (
        "import sys\nsys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        "from IPython.display import HTML, JSON, SVG, Image, Javascript, Markdown, display\n"
        "import IPython\nprint(IPython.get_ipython())\n"
        "display(HTML('<b>'), Markdown('#'), SVG('<svg/>'), JSON({'a': 1}), Image(b'GIF89a'), Javascript('x'))"
    )
    done = run(tmp_path, body)
    assert done.returncode == 0, done.stderr
    kinds = ["text/html", "text/markdown", "image/svg+xml", "application/json", "image/gif"]
    assert [next(iter(data)) for data in done.displays] == [*kinds, "application/javascript"]
    assert done.stdout.startswith("None\n")

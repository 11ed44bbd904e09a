"""Frames into cells and back, results as the next cell's input, and how values look, in a real kernel."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import Kernel
from tests.notebook.test_preview import harmless

pytestmark = pytest.mark.timeout(300)


def test_frames_of_three_libraries_go_in_and_come_back_as_they_were(kernel: Kernel) -> None:
    pytest.importorskip("polars")
    kernel.run(
        "import pandas as pd, polars as pl, pyarrow as pa\n"
        "a = pd.DataFrame({'t': pd.to_datetime(['2026-01-01'], utc=True), 'k': pd.Categorical(['x'])},"
        " index=pd.MultiIndex.from_tuples([('p', 1)], names=['who', 'n']))\n"
        "b = pl.DataFrame({'x': [1, None]}).lazy()\n"
        "c = pa.table({'y': pa.array(['u', 'v']).dictionary_encode()})\n"
        "sent = a.copy(), b.collect(), c"
    )
    ran = kernel.run(
        "%%bacalhau python --in a --in b --in c --out a --out b --out c\n"
        "assert type(b).__module__.startswith('polars'), type(b)\n"
        "assert type(c).__module__.startswith('pyarrow'), type(c)"
    )
    assert ran.status == "ok", ran.traceback
    kernel.run("pd.testing.assert_frame_equal(a, sent[0])\nassert b.equals(sent[1]) and c.equals(sent[2])")
    assert kernel.value("(b.equals(sent[1]), c.equals(sent[2]), a.equals(sent[0]))") == (True, True, True)
    ran = kernel.run("%%bacalhau python --in a --in b --out a --out b --out-as arrow\nn = 1")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("[type(x).__name__ for x in (a, b)]") == ["Table", "Table"]


def test_elsewhere_the_first_table_comes_back_as_what_is_asked_for(kernel: Kernel) -> None:
    pytest.importorskip("polars")
    ran = kernel.run("%%bacalhau sh --out t --out-as polars\nprintf 'a;b\\n1,5;x\\n' > outputs/t.csv")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("(type(t).__module__.split('.')[0], t.to_dicts())") == (
        "polars",
        [{"a": 1.5, "b": "x"}],
    )
    none = kernel.run("%%bacalhau sh --out t\necho hi > outputs/t.txt")
    assert none.status == "error"
    assert "hold no table" in none.traceback
    assert "outputs/t.txt" in none.traceback
    kernel.run("frame = pl.DataFrame({'q': [1]})")
    shipped = kernel.run("%%bacalhau sh --in frame\nhead -c 4 inputs/frame.parquet")
    assert shipped.stdout == "PAR1"


def test_a_result_is_the_next_cells_input(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\nprintf 'a,b\\n1,2\\n' > outputs/t.csv")
    assert ran.status == "ok", ran.traceback
    kernel.run("first = _")
    job = kernel.value("first.job.id")
    ran = kernel.run(
        f"%%bacalhau sh -i job:{job[:12]}/outputs -i src=job:{job}/outputs/t.csv,dst=/more\n"
        "cat inputs/t.csv /more/t.csv"
    )
    assert ran.stdout == "a,b\n1,2\n" * 2, ran.traceback
    ran = kernel.run(
        "%%bacalhau python --in first --out n\nprint((first / 'outputs/t.csv').read_text())\nn = len(str(first))"
    )
    assert "a,b\n1,2" in ran.stdout, ran.traceback
    kernel.run("part = first['outputs']")
    assert kernel.run("%%bacalhau sh --in part\ncat inputs/part/t.csv").stdout == "a,b\n1,2\n"
    missing = kernel.run(f"%%bacalhau sh -i job:{job}/nope\ntrue")
    assert "hold no nope" in missing.traceback
    wrong = kernel.run("%%bacalhau sh -i s3://b/k,region=eu\ntrue")
    assert "did you mean opt=region=eu?" in wrong.traceback


def test_values_are_shown_and_hostile_ones_do_nothing(kernel: Kernel) -> None:
    table = kernel.run(
        "%%bacalhau python\nimport pandas as pd\n"
        "pd.DataFrame({'<script>alert(1)</script>': range(300)}).to_parquet('outputs/t.parquet')"
    )
    assert "showing 200 of 300 rows" in table.result["text/html"], table.traceback
    harmless(table.result["text/html"])
    svg = kernel.run(
        '%%bacalhau sh\necho \'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>\' > outputs/x.svg'
    )
    assert [tag for tag, _ in harmless(svg.result["text/html"]).elements][:2] == ["figure", "img"]
    page = kernel.run("%%bacalhau sh\necho '<script>alert(1)</script><h1>hi' > outputs/x.html")
    assert "iframe" in [tag for tag, _ in harmless(page.result["text/html"]).elements]
    picture = kernel.run(
        "%%bacalhau python\nfrom PIL import Image\nImage.new('RGB', (9, 9), 'red').save('outputs/x.png')"
    )
    assert "image/png" in picture.result, picture.traceback
    files = kernel.run("%%bacalhau sh\nhead -c 3000000 /dev/zero > outputs/x.bin")
    assert "3.0 MB" in files.result["text/html"]

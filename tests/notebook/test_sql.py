"""``%%bacalhau sql``: the shipped runner in a process of its own, and cells in a real kernel."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bacalhau_jupyter.client.bodies.runner.sql import describe
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from tests.notebook import bodies
from tests.notebook.conftest import Kernel
from tests.notebook.test_cells import BOTH

duckdb = pytest.importorskip("duckdb")

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


def ran(place: Path, body: str, **options: Any) -> bodies.Done:
    return bodies.run(place, body, language="sql", **options)


def test_the_last_statement_is_the_result(tmp_path: Path) -> None:
    done = ran(tmp_path, "create table t as select range as n from range(3);\nselect sum(n) as total from t;")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "outputs" / "result.parquet")
    assert frame.to_dict("records") == [{"total": 3}]


@pytest.mark.parametrize(("total", "kind"), [(2**53 + 1, int), (-(2**53) - 1, int), (2**64, Decimal)])
def test_large_whole_numbers_come_back_whole(tmp_path: Path, total: int, kind: type) -> None:
    done = ran(tmp_path, f"select sum(n) as total from (select {total}::hugeint as n)")
    assert done.returncode == 0, done.stderr
    (row,) = pd.read_parquet(tmp_path / "outputs" / "result.parquet").to_dict("records")
    assert row == {"total": total}
    assert isinstance(row["total"], kind)


def test_a_last_statement_without_rows_leaves_no_result(tmp_path: Path) -> None:
    done = ran(tmp_path, "create table t as select 1 as n; copy t to 'outputs/t.csv' (header)")
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in (tmp_path / "outputs").iterdir()) == ["t.csv"]


def test_files_of_inputs_are_read_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "a.csv").write_text("x,y\n1,2\n3,4\n")
    done = ran(tmp_path, "select sum(y) as s from 'inputs/*.csv'")
    assert done.returncode == 0, done.stderr
    assert pd.read_parquet(tmp_path / "outputs" / "result.parquet")["s"][0] == 6


def test_plain_values_are_variables(tmp_path: Path) -> None:
    done = ran(
        tmp_path,
        "select getvariable('n') + 1 as n, getvariable('who') as who",
        variables={"n": 4, "who": "O'Hara"},
        environment={"SWEEP_PARAMETERS": '{"n": 5}'},
    )
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "outputs" / "result.parquet")
    assert frame.to_dict("records") == [{"n": 6, "who": "O'Hara"}]


def test_numbers_that_are_not_finite_stay_numbers(tmp_path: Path) -> None:
    query = "select getvariable('n') as n, typeof(getvariable('n')) as kind"
    done = ran(tmp_path, query, variables={"n": float("inf")})
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "outputs" / "result.parquet")
    assert frame.to_dict("records") == [{"n": float("inf"), "kind": "DOUBLE"}]


def test_equal_column_names_are_told_apart(tmp_path: Path) -> None:
    done = ran(tmp_path, "select 1 as a, 2 as a")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(tmp_path / "outputs" / "result.parquet").columns) == 2


@pytest.mark.parametrize(
    ("body", "line", "sentence"),
    [
        ("select 1;\n\nselect * form t", 6, 'Parser Error: syntax error at or near "t" (line 6)'),
        ("select 1;\nselect nope\nfrom range(3)", 5, "Binder Error: Referenced column"),
        ("select 1;\nselect cast('a' as int)", 5, "Conversion Error: Could not convert string 'a'"),
        ("select cast('a' as int)", 4, "Conversion Error: Could not convert string 'a'"),
        ("select 1;\n\n\nselect\n  cast('a' as int)", 8, "Conversion Error: Could not convert string 'a'"),
        (
            "select sum(x::hugeint) from\n(select 'a' as x)",
            4,
            "Conversion Error: Could not convert string 'a'",
        ),
        ("select * from nosuch", 4, "Catalog Error: Table with name nosuch does not exist!"),
    ],
    ids=["parser", "binder", "conversion", "only", "blank", "whole", "catalog"],
)
def test_an_error_has_the_cells_line_and_its_sentence_last(
    tmp_path: Path, body: str, line: int, sentence: str
) -> None:
    done = ran(tmp_path, body, first_line=4)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith(f"line {line}: ")
    assert "^" in lines[1]
    assert lines[-1].startswith(sentence)
    assert lines[-1].endswith(f"(line {line})")
    assert "Traceback" not in done.stderr


def test_a_missing_table_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    body = "create table sales as select 1 as n;\nselect * from slaes"
    sentence = ran(tmp_path, body).stderr.splitlines()[-1]
    assert sentence.startswith("Catalog Error: Table with name slaes does not exist!; the tables are sales (")
    sentence = ran(tmp_path, "select * from slaes").stderr.splitlines()[-1]
    assert "there is no table; --in NAME sends a frame" in sentence and "pg_" not in sentence


def test_too_little_memory_is_one_sentence_with_the_flag_that_gives_more() -> None:
    said = "Out of Memory Error: failed to allocate 16.0 MiB\nPossible solutions:\n* Reducing the threads"
    hint, sentence = describe(said, 4, in_statement=True).splitlines()
    assert hint.startswith("Hint: --memory")
    assert sentence == "Out of Memory Error: failed to allocate 16.0 MiB (statement at line 5)"


def test_a_frame_without_columns_is_refused_before_submission() -> None:
    pandas = pytest.importorskip("pandas")
    cell = Cell("sql", "select 1", variables={"empty": pandas.DataFrame()})
    with pytest.raises(BadRequest, match="--in empty: the DataFrame has no columns"):
        job_of_cell(cell, BOTH, shares_machine=True)


def test_an_error_without_a_place_names_its_statement() -> None:
    assert describe("IO Error: no", 4, in_statement=True) == "IO Error: no (statement at line 5)"
    assert describe("IO Error: no", 4) == "IO Error: no"


def test_the_caret_stays_below_what_it_points_at(tmp_path: Path) -> None:
    done = ran(tmp_path, "select * from nosuch", first_line=1234)
    code, caret = done.stderr.splitlines()[:2]
    assert caret.index("^") == code.index("nosuch")


def test_an_extension_that_would_have_to_be_downloaded_is_refused_with_a_way_out(tmp_path: Path) -> None:
    done = ran(tmp_path, "select * from 's3://bucket/a.parquet'")
    assert done.returncode == 1
    assert "bring the data with -i" in done.stderr
    assert "httpfs" in done.stderr.splitlines()[-1]


def test_what_is_no_table_is_refused_before_submission() -> None:
    cell = Cell("sql", "select 1", variables={"d": {"a": 1}})
    with pytest.raises(BadRequest, match="--in d: a dict is not a table"):
        job_of_cell(cell, BOTH, shares_machine=True)


def test_a_container_without_an_image_and_a_kernel_without_duckdb_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadRequest, match="needs an image"):
        job_of_cell(Cell("sql", "select 1", engine="docker"), BOTH, shares_machine=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadRequest, match="this kernel's Python lacks") as raised:
        job_of_cell(Cell("sql", "select 1"), BOTH, shares_machine=True)
    assert "bacalhau-jupyter[sql]" in raised.value.hint
    job = job_of_cell(Cell("sql", "select 1", image="mine"), BOTH, shares_machine=True)
    assert job.tasks[0].engine.params["Image"] == "mine"
    for options in (JobOptions(pip=["duckdb"]), JobOptions(no_binary=["duckdb"])):
        job = job_of_cell(Cell("sql", "select 1", options=options), BOTH, shares_machine=True)
        assert job.task.engine.type == "process"


def test_frames_in_and_the_result_as_a_frame(kernel: Kernel) -> None:
    kernel.run("import pandas as pd\nsales = pd.DataFrame({'region': ['n', 's', 'n'], 'amount': [1, 2, 4]})")
    done = kernel.run(
        "%%bacalhau sql --in sales --out top\n"
        "select region, sum(amount)::int as total from sales group by region order by total desc"
    )
    assert done.status == "ok", done.traceback
    assert kernel.value("top.to_dict('records')") == [
        {"region": "n", "total": 5},
        {"region": "s", "total": 2},
    ]
    shown = kernel.run("%%bacalhau sql --out-as arrow\nselect 42 as answer")
    assert "answer" in shown.result["text/plain"], shown.traceback
    assert kernel.value("_.to_pydict()") == {"answer": [42]}


def test_an_error_in_a_cell_is_one_sentence_with_the_line(kernel: Kernel) -> None:
    done = kernel.run("%%bacalhau sql\nselect 1;\nselect * form t")
    assert done.status == "error"
    assert 'Parser Error: syntax error at or near "t" (line 3)' in done.error["evalue"]
    assert "Traceback" not in done.stderr


def test_a_million_rows_come_back_by_the_results_and_not_by_the_log(kernel: Kernel) -> None:
    done = kernel.run("%%bacalhau sql --out big\nselect range as n, range * 1.5 as x from range(1000000)")
    assert done.status == "ok", done.traceback
    assert done.stdout == ""
    assert kernel.value("(len(big), float(big['x'].iloc[-1]))") == (1000000, 1499998.5)


def test_out_needs_rows(kernel: Kernel) -> None:
    done = kernel.run("%%bacalhau sql --out t\ncreate table t as select 1 as n; copy t to 'outputs/t.csv'")
    assert done.status == "error"
    assert "the cell's last statement returns no rows" in done.traceback


def test_what_does_not_fit_into_the_jobs_memory_goes_to_its_disk(kernel: Kernel) -> None:
    done = kernel.run(
        "%%bacalhau sql --memory 400mb --out n\n"
        "create table t as select hash(range)::varchar || range as k from range(6000000);\n"
        "select count(*) as n from (select k from t order by k)",
        timeout_s=120,
    )
    assert done.status == "ok", done.traceback
    assert kernel.value("int(n['n'][0])") == 6000000

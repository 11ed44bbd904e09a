"""Files into frames: formats, dtypes, several files, limits, and what is broken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tempfile
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.tables import TableFile, TooLargeForFrame, read_tables
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

PLAIN = pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b,c", "é"], "x": [0.5, None, 2.0]})

RICH = pd.DataFrame(
    {
        "when": pd.to_datetime(pd.Series(["2026-01-01 10:00", None]), utc=True)
        .dt.tz_convert("Europe/Berlin")
        .array,
        "took": pd.to_timedelta(["1h", None]),
        "count": pd.array([2**60 + 1, None], dtype="Int64"),
        "flag": pd.array([True, None], dtype="boolean"),
        "kind": pd.Categorical(["b", "a"], categories=["b", "a", "c"], ordered=True),
        "small": np.array([1, 2], dtype="uint8"),
    },
    index=pd.MultiIndex.from_tuples([("p", 1), ("q", 2)], names=["who", "n"]),
)


def one(path: Path, **options: Any) -> Any:
    return read_tables([TableFile(path, path.name)], **options)


def several(*paths: Path, **options: Any) -> Any:
    return read_tables([TableFile(path, path.name) for path in paths], **options)


def written(directory: Path, name: str, frame: pd.DataFrame = PLAIN) -> Path:
    """Write a frame in the format of the name."""
    path = directory / name
    table = pa.Table.from_pandas(frame)
    if name.startswith("parquet"):
        frame.to_parquet(path)
    elif name.startswith("feather"):
        frame.to_feather(path)
    elif name.startswith(("arrow", "stream")):
        make = pa.ipc.new_stream if name.startswith("stream") else pa.ipc.new_file
        with make(path, table.schema) as out:
            out.write_table(table)
    elif name.startswith("excel"):
        frame.to_excel(path, index=False)
    elif name.startswith("json"):
        path.write_text(frame.to_json(orient="records"))
    elif name.startswith("lines"):
        path.write_text(frame.to_json(orient="records", lines=True))
    else:
        path.write_bytes(frame.to_csv(index=False).encode())
    return path


FORMATS = ["parquet", "feather", "arrow", "stream", "excel.xlsx", "json.json", "lines.json", "csv.csv", "csv"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_by_its_content(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    pd.testing.assert_frame_equal(one(path), PLAIN)
    arrow = one(path, backend="arrow")
    assert isinstance(arrow, pa.Table)
    assert arrow.to_pydict() == {"id": [1, 2, 3], "name": ["a", "b,c", "é"], "x": [0.5, None, 2.0]}
    polars = pytest.importorskip("polars")
    assert one(path, backend="polars").equals(polars.DataFrame(arrow.to_pydict()))


@pytest.mark.parametrize("name", ["parquet", "stream", "csv", "lines.jsonl"])
@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress, "zstd"])
def test_compressed_files_are_read_whatever_they_are_called(tmp_path: Path, name: str, squeeze: Any) -> None:
    path = written(tmp_path, name)
    raw = path.read_bytes()
    path.write_bytes(pa.compress(raw, "zstd", asbytes=True) if squeeze == "zstd" else squeeze(raw))
    pd.testing.assert_frame_equal(one(path), PLAIN)


@pytest.mark.parametrize("name", ["parquet", "arrow", "stream"])
def test_dtypes_and_indexes_survive(tmp_path: Path, name: str) -> None:
    pd.testing.assert_frame_equal(one(written(tmp_path, name, RICH)), RICH)
    columns = PLAIN.set_axis(pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "z")]), axis=1)
    if name == "parquet":
        pd.testing.assert_frame_equal(one(written(tmp_path, "parquet2", columns)), columns)


def test_texts_in_odd_encodings_and_dialects_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"):
        path.write_bytes("name;x\né;1,5\nü;2,5\n".encode(encoding))
        assert one(path).to_dict("list") == {"name": ["é", "ü"], "x": [1.5, 2.5]}, encoding
        assert one(path, backend="arrow").to_pydict() == {"name": ["é", "ü"], "x": [1.5, 2.5]}, encoding


@pytest.mark.parametrize("backend", ["pandas", "arrow"])
@pytest.mark.parametrize("before", [0, 50_000])
def test_the_encoding_of_a_text_without_a_mark_is_not_guessed(
    tmp_path: Path, backend: str, before: int
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"1,plain\n" * before + "2,\u044f\n".encode("cp1251"))
    with pytest.raises(
        BadRequest, match="is not UTF-8, and its content does not show its encoding"
    ) as caught:
        one(path, backend=backend)
    assert 'encoding="cp1252"' in caught.value.hint
    frame = one(path, backend=backend, encoding="cp1251")
    column = frame.b if backend == "pandas" else frame["b"].to_pylist()
    assert (len(frame), list(column)[-1]) == (before + 1, "\u044f")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "utf-16", "cp1251"])
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_named_encoding_is_used(tmp_path: Path, encoding: str, suffix: str) -> None:
    word = {"shift_jis": "\u30c6\u30b9\u30c8", "cp1251": "\u0442\u0435\u0441\u0442"}.get(
        encoding, "s\xfc\xdf"
    )
    text = f"name,x\n{word},1\n" if suffix == "csv" else f'[{{"name": "{word}", "x": 1}}]'
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(text.encode(encoding))
    assert one(path, encoding=encoding).to_dict("list") == {"name": [word], "x": [1]}


def test_a_named_encoding_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a,b\n1,\xe9\n".encode("cp1252"))
    with pytest.raises(BadRequest, match="is not written in utf-8"):
        one(path, encoding="utf-8")
    with pytest.raises(BadRequest, match="encoding='cp12525' is not known"):
        one(path, encoding="cp12525")
    with pytest.raises(BadRequest, match="is not known"):
        one(path, encoding="base64")


def test_json_values_keep_their_types_and_nothing_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"id": "001", "date": 5, "big": 9007199254740993, "n": NaN, "l": [1]}]')
    row = one(path).iloc[0].to_dict()
    assert (row["id"], row["date"], row["big"], row["l"]) == ("001", 5, 9007199254740993, [1])
    for orient in ("split", "table"):
        PLAIN.to_json(path, orient=orient, index=False)
        assert one(path).id.tolist() == [1, 2, 3]
    path.write_text('{"a": [1, 2], "b": ["x", "y"]}')
    assert one(path).to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    path.write_text('{"loss": 0.5}')
    with pytest.raises(BacalhauError, match=r"x\.json is JSON, but not a table"):
        one(path)


# ---- several files


def test_several_files_become_one_frame_that_says_where_rows_come_from(tmp_path: Path) -> None:
    a, b = written(tmp_path, "csv-a.csv"), written(tmp_path, "parquet-b")
    frame = several(a, b)
    assert frame.source.tolist() == ["csv-a.csv"] * 3 + ["parquet-b"] * 3
    pd.testing.assert_frame_equal(frame[["id", "name", "x"]].iloc[3:].reset_index(drop=True), PLAIN)
    assert several(a, b, backend="arrow").column_names == ["id", "name", "x", "source"]
    twice = written(tmp_path, "parquet-c", frame)
    again = several(twice, twice)
    assert again.source.tolist() == frame.source.tolist() * 2
    assert set(again["_source"]) == {"parquet-c"}


def text(directory: Path, name: str, content: str) -> Path:
    (directory / name).write_text(content)
    return directory / name


def test_a_column_that_one_file_lacks_is_empty_there_and_integers_stay_exact(tmp_path: Path) -> None:
    a = text(tmp_path, "a.csv", f"id,big\n1,{2**60 + 1}\n")
    b = text(tmp_path, "b.csv", "more,id\nx,2\n")
    frame = several(a, b)
    assert list(frame.columns) == ["id", "big", "more", "source"]
    assert frame.big[0] == 2**60 + 1
    assert frame.big.isna().tolist() == [False, True]
    empty = text(tmp_path, "c.csv", "id,big\n3,\n")
    assert several(a, empty).big[0] == 2**60 + 1
    nothing = text(tmp_path, "d.csv", "")
    assert several(a, nothing).id.tolist() == [1]
    assert several(a, b, empty, nothing, backend="arrow").column("big").to_pylist() == [2**60 + 1, None, None]


def test_codes_that_look_like_numbers_in_one_text_file_keep_their_zeros(tmp_path: Path) -> None:
    a, b = text(tmp_path, "a.csv", "code,n\n007,1\n"), text(tmp_path, "b.csv", "code,n\nX9,2\n")
    assert several(a, b).code.tolist() == ["007", "X9"]
    assert several(a, b, backend="arrow").column("code").to_pylist() == ["007", "X9"]


def test_types_that_do_not_fit_are_named_with_column_and_files(tmp_path: Path) -> None:
    a = written(tmp_path, "parquet-a", pd.DataFrame({"x": [1]}))
    b = written(tmp_path, "parquet-b", pd.DataFrame({"x": ["one"]}))
    with pytest.raises(BacalhauError, match="column 'x' is number in parquet-a and text in parquet-b"):
        several(a, b)
    with pytest.raises(BacalhauError, match=r"column 'x' is int64 in parquet-a and .*string in parquet-b"):
        several(a, b, backend="arrow")
    naive = written(tmp_path, "parquet-n", pd.DataFrame({"x": pd.to_datetime(["2026-01-01"])}))
    aware = written(tmp_path, "parquet-w", pd.DataFrame({"x": pd.to_datetime(["2026-01-01"], utc=True)}))
    with pytest.raises(BacalhauError, match="time in parquet-n and time with zone in parquet-w"):
        several(naive, aware)


def test_types_that_fit_are_joined_without_loss(tmp_path: Path) -> None:
    berlin = pd.DataFrame(
        {
            "t": pd.to_datetime(["2026-01-01 12:00"]).tz_localize("Europe/Berlin"),
            "c": pd.Categorical(["a"]),
            "n": [1],
        }
    )
    lima = pd.DataFrame(
        {
            "t": pd.to_datetime(["2026-01-01 12:00"]).tz_localize("America/Lima"),
            "c": pd.Categorical(["b"]),
            "n": [0.5],
        }
    )
    frame = several(written(tmp_path, "parquet-b", berlin), written(tmp_path, "parquet-l", lima))
    assert [str(when) for when in frame.t] == ["2026-01-01 11:00:00+00:00", "2026-01-01 17:00:00+00:00"]
    assert isinstance(frame.c.dtype, pd.CategoricalDtype)
    assert (frame.c.tolist(), frame.n.tolist()) == (["a", "b"], [1.0, 0.5])


def test_a_directory_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "year=2026").mkdir()
    assert list(one(written(tmp_path / "year=2026", "parquet")).columns) == ["id", "name", "x"]


def test_an_index_that_means_something_is_kept(tmp_path: Path) -> None:
    a = written(tmp_path, "parquet-a", PLAIN.set_index("name"))
    assert several(a, a).index.tolist() == PLAIN.name.tolist() * 2


# ---- limits


def test_what_is_too_large_is_refused_with_size_cap_and_way_out(tmp_path: Path) -> None:
    path = text(tmp_path, "a.csv", "x\n" + "1\n" * 5000)
    with pytest.raises(TooLargeForFrame, match=r"a.csv would take 10,002 bytes .* is 1,000") as caught:
        one(path, size_limit=1000)
    assert "size_limit=11_000" in caught.value.hint
    assert len(one(path, size_limit=11_000)) == 5000
    with pytest.raises(TooLargeForFrame, match="2 files would take 20,004 bytes"):
        several(path, path, size_limit=15_000)


@pytest.mark.parametrize("name", ["bomb.csv", "bomb.jsonl", "bomb.parquet"])
def test_a_decompression_bomb_is_refused_before_it_fills_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        # Ten million equal numbers pack into kilobytes.
        pq.write_table(pa.table({"x": pa.array(np.zeros(10_000_000, dtype="int64"))}), path)
    else:
        line = b"1,2\n" if name.endswith(".csv") else b'{"a": 1}\n'
        path.write_bytes(gzip.compress(line * 15_000_000, 1))
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(TooLargeForFrame, match=r"at least|would take 80,000,000"):
        one(path, size_limit=4_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


# ---- broken and hostile


@cache
def _whole(name: str) -> bytes:
    """Return a whole file, the same each time: an Excel file holds the time, and its length goes with it."""
    with tempfile.TemporaryDirectory() as directory:
        return written(Path(directory), name).read_bytes()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_a_table_or_one_sentence(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    raw = bytearray(_whole(name))
    cut = data.draw(st.integers(0, len(raw)))
    raw = raw[:cut] if data.draw(st.booleans()) else raw
    for _ in range(data.draw(st.integers(0, 8)) if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    try:
        one(path, size_limit=50_000_000)
    except BacalhauError as error:
        assert path.name in error.message
        assert "\n" not in error.message


def test_the_error_for_a_file_that_is_not_a_table_lists_the_formats(tmp_path: Path) -> None:
    for content, sentence in (
        (b"\x89PNG\r\n\x1a\n\x00\x00", "x.bin is not a table"),
        (b"\xd0\xcf\x11\xe0\x00\x00", "an Excel file in the format from before 2007"),
        (b"", "x.bin is empty"),
    ):
        path = tmp_path / "x.bin"
        path.write_bytes(content)
        with pytest.raises(BacalhauError, match=sentence):
            one(path)
    with pytest.raises(BadRequest, match="backend 'dask' is not one of"):
        one(path, backend="dask")


@pytest.mark.parametrize("module", ["pandas", "pyarrow", "polars"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "csv")
    monkeypatch.setitem(sys.modules, module, None)
    backend = {"pandas": "pandas", "pyarrow": "arrow", "polars": "polars"}[module]
    extra = "polars" if module == "polars" else "data"
    with pytest.raises(BacalhauError, match=f"needs {module}") as caught:
        one(path, backend=backend)
    assert f"[{extra}]" in caught.value.hint


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Arrow's old Python extension types carried a pickle in the schema."""
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "ran").touch, ())

    storage = pa.field(
        "x",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Evil()),
        },
    )
    path = tmp_path / "evil"
    with pa.ipc.new_stream(path, pa.schema([storage])) as out:
        out.write_batch(pa.record_batch([pa.array([1])], schema=pa.schema([storage])))
    assert one(path).x.tolist() == [1]
    assert not (tmp_path / "ran").exists()


COLUMNS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=True),
    "boolean": st.none() | st.booleans(),
    "str": st.text(st.characters(codec="utf-8")),
    "category": st.sampled_from(["a", "b", "ü"]),
    "datetime64[us, UTC]": st.integers(-(10**15), 10**15).map(
        lambda us: pd.Timestamp(us, unit="us", tz="UTC")
    ),
    "timedelta64[us]": st.integers(-(10**12), 10**12).map(lambda us: pd.Timedelta(us, unit="us")),
}

KINDS = pd.CategoricalDtype(["a", "b", "ü"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), format_=st.sampled_from(["parquet", "arrow", "stream"]))
def test_any_frame_comes_back_as_it_was(tmp_path: Path, data: st.DataObject, format_: str) -> None:
    rows = data.draw(st.integers(1, 5))
    frame = pd.DataFrame(
        {
            name: pd.Series(
                data.draw(st.lists(values, min_size=rows, max_size=rows)),
                dtype=KINDS if name == "category" else name,
            )
            for name, values in COLUMNS.items()
        }
    )
    pd.testing.assert_frame_equal(one(written(tmp_path, format_, frame)), frame)

"""Variables into a job and back, through the runner that really runs there."""

from __future__ import annotations

import collections
import enum
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bacalhau_jupyter.client.bodies.program import runner_files
from bacalhau_jupyter.client.bodies.values import Packed, pack, unpack_values
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.records.progress import no_progress


def run_cell(
    tmp_path: Path, body: str, variables: dict, outs: list[str]
) -> tuple[subprocess.CompletedProcess, Path]:
    """Run the shipped runner in a process of its own, as a job does."""
    kit = tmp_path / "kit"
    (kit / "in").mkdir(parents=True)
    files = {name: pack(name, value, python_body=True) for name, value in variables.items()}
    for item in files.values():
        if item.content is None:
            (kit / "in" / item.file).write_bytes(item.data)
        else:
            item.content.write(kit / "in" / item.file, no_progress, threading.Event())
    (kit / "cell.py").write_text(body)
    sent = {name: [item.file, item.kind] for name, item in files.items()}
    (kit / "cell.json").write_text(json.dumps({"in": sent, "out": outs}))
    for name, data in runner_files().items():
        (kit / name).parent.mkdir(exist_ok=True)
        (kit / name).write_bytes(data)
    outputs = tmp_path / "outputs"
    done = subprocess.run(
        [sys.executable, kit / "job_runner.py"],
        cwd=tmp_path,
        env={**os.environ, "BACALHAU_OUTPUTS": str(outputs)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, outputs / ".bacalhau"


FRAME = pd.DataFrame(
    {
        "when": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        "kind": pd.Categorical(["a", "b"]),
        "count": pd.array([1, None], dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    "value",
    [1, "text with {braces} and $dollars", [1, {"a": None}], b"\x00\xff", (1, 2), {1: "int key"}, {1, 2}],
    ids=repr,
)
def test_a_value_arrives_in_the_job_as_it_was(tmp_path: Path, value: object) -> None:
    done, _ = run_cell(
        tmp_path,
        f"assert value == {value!r}, value\nassert type(value) is {type(value).__name__}",
        {"value": value},
        [],
    )
    assert done.returncode == 0, done.stderr


def test_a_frame_keeps_its_dtypes_both_ways(tmp_path: Path) -> None:
    done, out = run_cell(tmp_path, "back = frame", {"frame": FRAME}, ["back"])
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(unpack_values(out, ["back"])["back"], FRAME)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("{'a': [1]}", {"a": [1]}), ("'text'", "text"), ("b'raw'", b"raw"), ("7", 7), ("None", None)],
)
def test_a_value_comes_back(tmp_path: Path, expression: str, expected: object) -> None:
    done, out = run_cell(tmp_path, f"back = {expression}", {}, ["back"])
    assert done.returncode == 0, done.stderr
    assert unpack_values(out, ["back"])["back"] == expected


def test_an_array_comes_back_and_one_of_objects_is_refused(tmp_path: Path) -> None:
    done, out = run_cell(tmp_path, "import numpy as np\nback = np.arange(6).reshape(2, 3)", {}, ["back"])
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(unpack_values(out, ["back"])["back"], np.arange(6).reshape(2, 3))
    (tmp_path / "b").mkdir()
    done, _ = run_cell(tmp_path / "b", "import numpy as np\nback = np.array([object()])", {}, ["back"])
    assert done.returncode == 1
    assert "--out back" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_can_not_come_back_is_named_with_its_type(tmp_path: Path) -> None:
    done, _ = run_cell(tmp_path, "class Thing: pass\nback = Thing()", {}, ["back"])
    assert done.returncode == 1
    assert "--out back: a __main__.Thing can't be brought back" in done.stderr
    (tmp_path / "x").mkdir()
    done, _ = run_cell(tmp_path / "x", "pass", {}, ["missing"])
    assert "--out missing: the cell did not define it" in done.stderr


def test_a_pickle_among_the_results_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "evil.pickle").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(BacalhauError, match="brought nothing back"):
        unpack_values(tmp_path, ["evil"])
    (tmp_path / "evil.npy").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(BacalhauError, match="can't be read"):
        unpack_values(tmp_path, ["evil"])


def test_a_traceback_shows_the_body_only(tmp_path: Path) -> None:
    done, _ = run_cell(tmp_path, "x = 1\nraise ValueError('mine')", {}, [])
    assert done.returncode == 1
    assert 'File "cell.py", line 2' in done.stderr
    assert "raise ValueError('mine')" in done.stderr
    assert "job_runner" not in done.stderr


def test_a_missing_module_says_the_way_out(tmp_path: Path) -> None:
    done, _ = run_cell(tmp_path, "import no_such_module_at_all", {}, [])
    assert "Hint: the job's Python has no module 'no_such_module_at_all'" in done.stderr


def test_an_exit_code_of_the_body_is_kept(tmp_path: Path) -> None:
    done, _ = run_cell(tmp_path, "raise SystemExit(7)", {}, [])
    assert done.returncode == 7


def test_a_shell_body_gets_files_and_no_pickles() -> None:
    assert pack("t", "text", python_body=False) == Packed("t.txt", "text", b"text")
    with pytest.raises(BadRequest, match="--in t: a object can't become a file"):
        pack("t", object(), python_body=False)
    with pytest.raises(BadRequest, match="--in f: a function can't become a file"):
        pack("f", lambda: 0, python_body=False)
    with pytest.raises(BadRequest, match="--in n: a list can't become a file"):
        pack("n", [float("nan")], python_body=False)


class Level(enum.IntEnum):
    """A subclass of int that JSON would flatten."""

    HIGH = 3


NAMED = collections.OrderedDict(b=1, a=2)


@pytest.mark.parametrize(
    ("value", "check"),
    [
        (float("nan"), "value != value"),
        ([float("inf")], "value == [float('inf')]"),
        (10**5000, "value == 10**5000"),
        ({(1, 2): 3}, "value == {(1, 2): 3}"),
        (NAMED, "type(value).__name__ == 'OrderedDict'"),
        (np.int64(5), "type(value).__name__ == 'int64' and value == 5"),
        (np.float64(2.5), "type(value).__name__ == 'float64'"),
        (pd.Series([1, 2], name="s"), "list(value) == [1, 2] and value.name == 's'"),
        (pd.DataFrame(), "value.empty"),
        (pd.DataFrame({0: [1], 1: [2]}), "list(value.columns) == [0, 1]"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "list(value.columns) == ['x', 'x']"),
        (pd.DataFrame([[1, 2]], columns=[["a", "a"], ["b", "c"]]), "value[('a', 'c')][0] == 2"),
        (pd.DataFrame({"m": [1, "text", None]}), "list(value.m)[:2] == [1, 'text']"),
        (
            pd.DataFrame({"t": [pd.NaT, pd.Timestamp("2026-01-01")]}),
            "value.t.isna().tolist() == [True, False]",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)
def test_an_odd_value_arrives_in_the_job_as_it_was(tmp_path: Path, value: object, check: str) -> None:
    done, _ = run_cell(tmp_path, f"assert {check}, repr(value)[:200]", {"value": value}, [])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["x.json", "x.pickle", "x.parquet", "x.bytes", "x"])
def test_a_path_arrives_as_a_path_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"not": "parsed"}')
    body = 'import pathlib\nassert isinstance(value, pathlib.Path)\nassert value.read_text() == \'{"not": "parsed"}\''
    done, _ = run_cell(tmp_path, body, {"value": tmp_path / name}, [])
    assert done.returncode == 0, done.stderr


def test_a_directory_is_an_input_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("12")
    packed = pack("d", tmp_path, python_body=True)
    assert packed.kind == "path" and packed.content is not None
    assert packed.content.is_archive and packed.content.size == 2


ODD = {
    "numbers": "pd.DataFrame({0: [1], 1: [2]})",
    "doubled": "pd.DataFrame([[1, 2.5]], columns=['x', 'x'])",
    "empty": "pd.DataFrame({'a': pd.Series(dtype='int64')})",
    "dates": (
        "pd.DataFrame({'t': [pd.NaT, pd.Timestamp('2026-01-01')]},"
        " index=pd.to_datetime(['2026-01-01', '2026-01-02']))"
    ),
    "kinds": "pd.DataFrame({'k': pd.Categorical(['b', 'a'])}, index=pd.Index(['p', 'q'], name='who'))",
    "levels": "pd.DataFrame([[1, 2]], columns=[['a', 'a'], ['b', 'c']])",
    "series": "pd.Series([1.5, 2.5], name='s')",
}


@pytest.mark.parametrize("without_pyarrow", [False, True], ids=["parquet", "json"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_frame_comes_back_whole_or_is_refused(
    tmp_path: Path, name: str, without_pyarrow: bool
) -> None:
    hide = "import sys; sys.modules['pyarrow'] = None\n" if without_pyarrow else ""
    done, out = run_cell(tmp_path, f"import pandas as pd\nback = {ODD[name]}\n{hide}", {}, ["back"])
    expected = eval(ODD[name], {"pd": pd})
    if done.returncode:
        assert name in (("levels", "doubled") if without_pyarrow else ("doubled",)), done.stderr
        assert "--out back: a pandas" in done.stderr
        assert "Traceback" not in done.stderr
        return
    back = unpack_values(out, ["back"])["back"]
    if name == "series":
        pd.testing.assert_series_equal(back, expected, check_index_type=False)
    else:
        pd.testing.assert_frame_equal(
            back, expected, check_column_type=False, check_freq=False, check_index_type=False
        )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{'n': np.int64(3), 'f': np.float32(0.5)}", {"n": 3, "f": 0.5}),
        ("np.bool_(True)", True),
        ("[float('inf')]", [float("inf")]),
    ],
)
def test_numbers_of_numpy_come_back_as_numbers(tmp_path: Path, expression: str, expected: object) -> None:
    done, out = run_cell(tmp_path, f"import numpy as np\nback = {expression}", {}, ["back"])
    assert done.returncode == 0, done.stderr
    assert unpack_values(out, ["back"])["back"] == expected


@pytest.mark.parametrize("expression", ["{1: 'a'}", "[{(1, 2): 3}]"])
def test_keys_that_json_would_change_are_refused(tmp_path: Path, expression: str) -> None:
    done, _ = run_cell(tmp_path, f"back = {expression}", {}, ["back"])
    assert done.returncode == 1
    assert "keys that are not text" in done.stderr


@pytest.mark.parametrize(
    "text", ["a\r\nb\rc\n", "\r", "\ufeffmark", "s\xfc\xdf \u30c6 \x85 \u2028 \x00"], ids=ascii
)
def test_text_is_not_changed_on_its_way(tmp_path: Path, text: str) -> None:
    done, out = run_cell(tmp_path, "back, kept = text, {'t': text}", {"text": text}, ["back", "kept"])
    assert done.returncode == 0, done.stderr
    assert unpack_values(out, ["back", "kept"]) == {"back": text, "kept": {"t": text}}


def test_text_comes_back_in_a_locale_without_utf_8(tmp_path: Path) -> None:
    done, out = run_cell(tmp_path, "back = 's\xfc\xdf\\r\\n'", {}, ["back"])
    assert done.returncode == 0, done.stderr
    code = (
        "import pathlib, sys; from bacalhau_jupyter.client.bodies.values import unpack_values;"
        "print(ascii(unpack_values(pathlib.Path(sys.argv[1]), ['back'])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, out],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == ascii({"back": "s\xfc\xdf\r\n"}), ended.stderr


def test_a_large_frame_that_parquet_can_not_hold_comes_to_a_python_body_all_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, "a"] * 50_000})
    packed = pack("df", frame, python_body=True)
    assert packed.content is not None and packed.kind == "parquet"
    done, _ = run_cell(tmp_path, "print(df.x.iloc[0], df.x.iloc[1], len(df))", {"df": frame}, [])
    assert done.stdout.endswith("1 a 100000\n"), done.stderr


def test_elsewhere_such_a_frame_is_refused_when_it_is_written(tmp_path: Path) -> None:
    packed = pack("df", pd.DataFrame({"x": [1, "a"] * 50_000}), python_body=False)
    assert packed.content is not None
    with pytest.raises(BadRequest, match="--in df: a DataFrame can't become a file"):
        packed.content.write(tmp_path / "x", no_progress, threading.Event())

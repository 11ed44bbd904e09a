"""Values that a hostile job leaves under the names of ``--out``: one sentence each, whatever their readers say."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from bacalhau_jupyter.client.bodies.values import unpack_values
from bacalhau_jupyter.models.errors import BacalhauError


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    out = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    return out.getvalue()


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("v.json", b"[" * 200_000),
        ("v.json", b"9" * 5000),
        ("v.json", b"\xff"),
        ("v.frame", b"[" * 200_000),
        ("v.frame", b"[]"),
        (
            "v.frame",
            b'{"columns": [1], "data": [[1]], "index": [0], "dtypes": ["x"], "index_dtype": "int64"}',
        ),
        (
            "v.series.frame",
            b'{"columns": [], "data": [], "index": [], "dtypes": [], "index_dtype": "int64", '
            b'"index_name": null}',
        ),
        ("v.npy", header((10**13,))),
        ("v.npy", header((1,), "|O") + pickle.dumps(Trap())),
        ("v.npy", pickle.dumps(Trap())),
        ("v.npy", b"PK\x03\x04" + bytes(100)),
        ("v.parquet", b"PAR1" + b"x" * 100 + b"PAR1"),
        ("v.parquet", pickle.dumps(Trap())),
        ("v.arrow", pickle.dumps(Trap())),
        ("v.txt", b"\xff\xfe\xfd"),
    ],
)
def test_what_can_not_be_read_is_one_sentence_and_runs_nothing(
    tmp_path: Path, file: str, data: bytes
) -> None:
    (tmp_path / file).write_bytes(data)
    with pytest.raises(BacalhauError, match=r"v.*(can't be read|is not a table|does not fit)") as refused:
        unpack_values(tmp_path, ["v"])
    assert len(refused.value.message) < 1000


def test_the_trap_of_these_tests_works() -> None:
    """The control: whoever unpickles it fails."""
    with pytest.raises(pytest.fail.Exception, match="it was unpickled"):
        pickle.loads(pickle.dumps(Trap()))


def test_column_names_of_megabytes_are_refused(tmp_path: Path) -> None:
    """The control: pandas shows a name whole, and a notebook with it would have this size."""
    frame = pandas.DataFrame({"x" * 5_000_000: [1]})
    assert len(frame.to_html()) > 5_000_000
    parquet.write_table(pyarrow.Table.from_pandas(frame), tmp_path / "v.parquet")
    with pytest.raises(BacalhauError, match=r"the names of its columns take 5"):
        unpack_values(tmp_path, ["v"])


def test_cells_with_markup_are_text_in_what_a_notebook_shows(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    frame = pandas.DataFrame({attack: [attack], "plain": [1]}, index=pandas.Index([attack], name=attack))
    frame.to_parquet(tmp_path / "v.parquet")
    shown = unpack_values(tmp_path, ["v"])["v"]._repr_html_()
    assert "<img" not in shown and shown.count("&lt;img") == 4

"""Excel files that a job made to take the memory and the time of whoever looks at them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from bacalhau_jupyter.client.tables import TableFile, read_head, read_tables
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame
from bacalhau_jupyter.models.errors import BacalhauError


def workbook(place: Path, change: Callable[[str, bytes], bytes] = lambda name, data: data) -> TableFile:
    """Write a workbook of one number, with its parts changed."""
    made = io.BytesIO()
    pandas.DataFrame({"n": [7]}).to_excel(made, index=False)
    path = place / "t.xlsx"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return TableFile(path, "t.xlsx")


def with_cell(row: int, column: str) -> Callable[[str, bytes], bytes]:
    cell = f'<row r="{row}"><c r="{column}{row}"><v>1</v></c></row></sheetData>'.encode()
    return lambda name, data: data.replace(b"</sheetData>", cell) if name.endswith("sheet1.xml") else data


def test_a_cell_that_is_a_little_further_on_is_read(tmp_path: Path) -> None:
    frame = read_tables([workbook(tmp_path, with_cell(40, "J"))])
    assert frame.shape == (39, 10) and frame["n"][0] == 7


@pytest.mark.parametrize(("row", "column"), [(1_048_576, "XFD"), (40_000, "XFD")])
def test_a_far_cell_does_not_take_the_memory_of_all_before_it(tmp_path: Path, row: int, column: str) -> None:
    file = workbook(tmp_path, with_cell(row, column))
    assert file.path.stat().st_size < 10_000
    with pytest.raises(TooLargeForFrame, match=r"t\.xlsx would take at least"):
        read_tables([file])


def test_the_head_of_a_large_sheet_is_not_read_for_a_preview(tmp_path: Path) -> None:
    def padded(name: str, data: bytes) -> bytes:
        return (
            data.replace(b"</sheetData>", b"</sheetData>" + b" " * 30_000_000) if "sheet1" in name else data
        )

    file = workbook(tmp_path, padded)
    assert file.path.stat().st_size < 100_000
    with pytest.raises(TooLargeForFrame):
        read_head(file, 20, size_limit=500_000_000)
    assert read_tables([file])["n"][0] == 7


def test_entities_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    declared = f'<!DOCTYPE x [<!ENTITY e0 "0123456789">{levels}]>'.encode()

    def multiplied(name: str, data: bytes) -> bytes:
        if not name.endswith("sheet1.xml"):
            return data
        row = b'<row r="3"><c r="A3" t="inlineStr"><is><t>&e11;</t></is></c></row></sheetData>'
        at = data.index(b"<worksheet")
        return data[:at] + declared + data[at:].replace(b"</sheetData>", row)

    with pytest.raises(BacalhauError, match="can't be read as a table"):
        read_tables([workbook(tmp_path, multiplied)])

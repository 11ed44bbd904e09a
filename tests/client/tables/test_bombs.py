"""Small files that would become large tables: they are refused by what they decode to, and soon."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from bacalhau_jupyter.client.tables import Backend, TableFile, read_head, read_tables
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame

LIMIT = 50_000_000
BACKENDS: list[Backend] = ["pandas", "arrow"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_long_text_in_every_row_is_not_decoded_to_its_end(tmp_path: Path, backend: Backend) -> None:
    """With the group read as a whole, this file of a few kB takes 1.2 GB."""
    texts = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 20_000, pyarrow.int32()), pyarrow.array(["x" * 60_000])
    )
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"text": texts}), path, store_schema=False)
    assert path.stat().st_size < 20_000
    with pytest.raises(TooLargeForFrame):
        read_tables([TableFile(path, "t.parquet")], size_limit=LIMIT, backend=backend)


def test_a_row_with_millions_of_values_counts_by_its_values(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"list": pyarrow.array([["x"] * 10_000_000])}), path)
    assert path.stat().st_size < 2000
    file = TableFile(path, "t.parquet")
    with pytest.raises(TooLargeForFrame):
        read_tables([file], size_limit=LIMIT)
    with pytest.raises(TooLargeForFrame):
        read_head(file, 200, size_limit=LIMIT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_records_with_names_of_their_own_count_by_the_cells_of_their_frame(
    tmp_path: Path, backend: Backend
) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{f"name {number}": 1} for number in range(20_000)]))
    with pytest.raises(TooLargeForFrame):
        read_tables([TableFile(path, "t.json")], size_limit=LIMIT, backend=backend)
    path.write_text(json.dumps([{"name": 1, "other": number} for number in range(20_000)]))
    assert len(read_tables([TableFile(path, "t.json")], size_limit=LIMIT, backend=backend)) == 20_000


def test_texts_come_back_whole_however_many_parts_they_are_read_in(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"text": [f"text {number % 7}" for number in range(5000)], "n": range(5000)})
    parquet.write_table(table, path, row_group_size=1500)
    assert read_tables([TableFile(path, "t.parquet")], backend="arrow").equals(table)

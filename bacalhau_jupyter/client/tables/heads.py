"""The first rows of a table and how many there are, without reading all of it where the format allows."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.client.tables.libraries import require_pandas, require_pyarrow
from bacalhau_jupyter.client.tables.reading import TableFile, guarded, opened, read_tables
from bacalhau_jupyter.client.tables.sizes import value_bytes

EXCEL_BYTES = 20_000_000
"""Most of an Excel file, unpacked, that is read for its head: it takes a second for each few MB."""


def read_head(file: TableFile, rows: int, *, size_limit: int) -> tuple[Any, int]:
    """Return the first rows as a `pandas.DataFrame`, and the number of all rows.

    Parameters
    ----------
    file
        The table.
    rows
        How many rows are wanted.
    size_limit
        Bytes that may be read at once; a Parquet file may be larger, since its footer tells the number of rows.

    Raises
    ------
    TooLargeForFrame
        Counting the rows would take reading more than ``size_limit``.
    BacalhauError
        It is not a table, or pandas is not installed.
    """
    require_pandas()
    item = opened(file)
    if item.kind is Kind.PARQUET and not item.compression:
        frame, total = guarded(file.source, _parquet_head, file, rows, size_limit)
        return frame, total
    # Excel is read as a whole, and slowly.
    most = min(size_limit, EXCEL_BYTES) if item.kind is Kind.EXCEL else size_limit
    frame = read_tables([file], size_limit=most)
    return frame.head(rows), len(frame)


def _parquet_head(file: TableFile, rows: int, size_limit: int) -> tuple[Any, int]:
    pa = require_pyarrow(file.source)
    from pyarrow import parquet

    with file.path.open("rb") as raw:
        reader = parquet.ParquetFile(raw)
        groups = reader.metadata
        first = groups.row_group(0) if groups.num_row_groups else None
        if first is not None and (
            first.total_byte_size > size_limit or value_bytes(first, beyond_rows=True) > size_limit
        ):
            # One group is read as a whole; a head of a huge one is not worth that.
            frame = read_tables([file], size_limit=size_limit)
            return frame.head(rows), len(frame)
        batch = next(reader.iter_batches(batch_size=rows), None)
        table = pa.Table.from_batches([batch]) if batch is not None else reader.schema_arrow.empty_table()
        return table.to_pandas(), groups.num_rows

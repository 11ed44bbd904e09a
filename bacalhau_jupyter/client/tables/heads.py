"""The first rows of a table and how many there are, without reading all of it where the format allows."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.client.tables.libraries import require_pandas, require_pyarrow
from bacalhau_jupyter.client.tables.reading import TableFile, guarded, opened, read_tables


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
    frame = read_tables([file], size_limit=size_limit)
    return frame.head(rows), len(frame)


def _parquet_head(file: TableFile, rows: int, size_limit: int) -> tuple[Any, int]:
    pa = require_pyarrow(file.source)
    from pyarrow import parquet

    with file.path.open("rb") as raw:
        reader = parquet.ParquetFile(raw)
        groups = reader.metadata
        if groups.num_row_groups and groups.row_group(0).total_byte_size > size_limit:
            # One group is read as a whole; a head of a huge one is not worth that.
            frame = read_tables([file], size_limit=size_limit)
            return frame.head(rows), len(frame)
        batch = next(reader.iter_batches(batch_size=rows), None)
        table = pa.Table.from_batches([batch]) if batch is not None else reader.schema_arrow.empty_table()
        return table.to_pandas(), groups.num_rows

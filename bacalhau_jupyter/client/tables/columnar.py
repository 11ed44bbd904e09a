"""Parquet, Arrow and Feather files as Arrow tables; nothing in them is ever unpickled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.client.tables.libraries import require_pyarrow
from bacalhau_jupyter.client.tables.sizes import FIXED_WIDTHS, TooLargeForFrame, open_capped

_ROWS, _FEW_ROWS = 1024, 256
"""Rows that are decoded at a time, and where the texts of a row group take much."""
_LONG = 64_000_000

COLUMNAR = (Kind.PARQUET, Kind.ARROW, Kind.STREAM, Kind.FEATHER)


def read_columnar(path: Path, kind: Kind, compression: str, budget: int, limit: int) -> Any:
    """Return a `pyarrow.Table` with the file's schema as it is written.

    Raises
    ------
    TooLargeForFrame
        It takes more than ``budget`` bytes of memory.
    """
    pa = require_pyarrow(path.name)
    if compression:
        # These formats are read from both ends: what is compressed as a whole has to lie in memory.
        with open_capped(path, compression, budget, limit) as stream:
            return _table(pa, io.BytesIO(stream.read()), kind, path.name, budget, limit)
    with path.open("rb") as file:
        return _table(pa, file, kind, path.name, budget, limit)


def _table(pa: Any, file: BinaryIO, kind: Kind, name: str, budget: int, limit: int) -> Any:
    if kind is Kind.PARQUET:
        from pyarrow import parquet

        # Not read_table: that would take directories named key=value for columns.
        reader = parquet.ParquetFile(file)
        return _collected(pa, reader.schema_arrow, _parts(pa, reader), name, budget, limit)
    if kind is Kind.FEATHER:
        from pyarrow import feather

        return feather.read_table(file)
    if kind is Kind.STREAM:
        stream = pa.ipc.open_stream(file)
        return _collected(pa, stream.schema, map(_as_table(pa), stream), name, budget, limit)
    opened = pa.ipc.open_file(file)
    batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    return _collected(pa, opened.schema, map(_as_table(pa), batches), name, budget, limit)


def _parts(pa: Any, reader: Any) -> Iterator[Any]:
    """Yield a Parquet file in parts: a few rows each where few bytes may stand for long texts in all rows."""
    groups = [reader.metadata.row_group(number) for number in range(reader.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    texts = [chunk.total_uncompressed_size for chunk in chunks if chunk.physical_type not in FIXED_WIDTHS]
    if not texts:
        yield from (reader.read_row_group(number) for number in range(reader.num_row_groups))
        return
    rows = _ROWS if max(texts) < _LONG else _FEW_ROWS
    yield from map(_as_table(pa), reader.iter_batches(batch_size=rows))


def _as_table(pa: Any) -> Any:
    return lambda batch: pa.Table.from_batches([batch])


def _collected(pa: Any, schema: Any, parts: Iterator[Any], name: str, budget: int, limit: int) -> Any:
    """Take the parts one by one: what they hold shows only when they are decoded."""
    taken, size = [], 0
    for part in parts:
        size += part.nbytes
        if size > budget:
            raise TooLargeForFrame(name, limit - budget + size, limit, at_least=True)
        taken.append(part)
    return pa.concat_tables(taken) if taken else schema.empty_table()

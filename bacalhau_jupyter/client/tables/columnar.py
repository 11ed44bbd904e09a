"""Parquet, Arrow and Feather files as Arrow tables; nothing in them is ever unpickled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.client.tables.libraries import require_pyarrow
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame, open_capped

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
        groups = (reader.read_row_group(number) for number in range(reader.num_row_groups))
        return _collected(pa, reader.schema_arrow, groups, name, budget, limit)
    if kind is Kind.FEATHER:
        from pyarrow import feather

        return feather.read_table(file)
    if kind is Kind.STREAM:
        stream = pa.ipc.open_stream(file)
        return _collected(pa, stream.schema, map(_as_table(pa), stream), name, budget, limit)
    opened = pa.ipc.open_file(file)
    batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    return _collected(pa, opened.schema, map(_as_table(pa), batches), name, budget, limit)


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
